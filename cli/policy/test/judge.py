#!/usr/bin/env -S python3 -B
"""Judges policies with the Kata agent's engine.

    judge.py [--table] [--quick] MAKER CRATE TARGET

MAKER: the policy-maker; CRATE: cli/policy/judge; TARGET: where cargo builds. Cases are those of
$CONTRAST_TESTDATA: any tree of folders with testcases.json and a pod (it, or its folder genpolicy,
may have images.json). Per folder:

1. cases: each verdict must be the expected one, with a policy for requests that leave things out
   (--partial), the form of these cases: in both profiles, and in an agent that keeps no state.
   What must be denied is denied by the strict policy, too.
2. mutants: each leaf of each allowed request changed, dropped or, in a list, doubled, asked of the
   strict policy. A mutant that is admitted and is not in mutants.json, with a reason, fails; so do
   over 25 of one request. --table also prints what the policy for partial requests admits.
3. attacks: requests of our own that must be denied (or, with "allowed", be allowed): attacks.json.
4. our own cases: cases/*.json (shim.py makes the requests), strict, in both profiles, in order. An
   agent without state allows what is honest, too.

The strict policy keeps an order, so requests that a kubelet would send before (the sandbox, init
containers, starts) are put in front of a case: shim.py.

--table prints the admitted mutants; --quick leaves the mutants out. Exit 77 without cargo or data,
1 under CI=true. SPDX-License-Identifier: Apache-2.0
"""

import copy
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import shim

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("CONTRAST_TESTDATA") or os.path.join(HERE, "../../../../shared/testdata")
CASES = os.path.join(DATA, "genpolicy") if os.path.isdir(os.path.join(DATA, "genpolicy")) else DATA


def skip(why):
    print("judge: skipped: " + why)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


class Judge:
    def __init__(self, maker, crate, target):
        self.maker = maker
        self.no_images = os.path.join(target, "no-images.json")
        self.program = os.path.join(target, "release", "contrast-policy-judge")
        cargo = shutil.which("cargo")
        if cargo is None:
            skip("no cargo (https://rustup.rs); the policies were not judged")
        if not os.path.isdir(CASES):
            skip("no folder " + CASES + "; set CONTRAST_TESTDATA")
        subprocess.run(
            [
                cargo,
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--manifest-path",
                os.path.join(crate, "Cargo.toml"),
                "--target-dir",
                target,
            ],
            check=True,
        )
        with open(self.no_images, "w", encoding="utf-8") as f:
            f.write("{}\n")

    def policy(self, folder, partial=True, initdata=False):
        """Of the folder's pod.yaml, or else of its first file with a workload."""
        files = [
            os.path.join(folder, f)
            for f in sorted(os.listdir(folder))
            if f.endswith((".yaml", ".yml"))
        ]
        files.sort(key=lambda f: not os.path.basename(f).startswith("pod."))
        tables = [
            os.path.join(folder, "images.json"),
            os.path.join(CASES, "images.json"),
            self.no_images,
        ]
        table = next(t for t in tables if os.path.exists(t))
        why = "no YAML"
        for pod in files:
            objects = [f for f in files if f != pod]
            command = [self.maker] + ["--partial"] * partial + ["--initdata"] * initdata
            made = subprocess.run(command + [pod, table] + objects, capture_output=True, text=True)
            if made.returncode == 0:
                return made.stdout.split("'''\n")[1] if initdata else made.stdout
            why = why if why != "no YAML" else made.stderr.strip()
        raise RuntimeError("no policy: " + why)

    def ask(self, policy, cases):
        """One verdict per case: {"allowed": bool, "error": text}."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, "policy.rego"), os.path.join(folder, "cases.json")]
            with open(paths[0], "w", encoding="utf-8") as f:
                f.write(policy)
            with open(paths[1], "w", encoding="utf-8") as f:
                json.dump(cases, f)
            run = subprocess.run([self.program] + paths, capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(run.stderr.strip())
        verdicts = [json.loads(line) for line in run.stdout.splitlines()]
        if len(verdicts) != len(cases):
            raise RuntimeError("%d verdicts for %d cases" % (len(verdicts), len(cases)))
        return verdicts


# --- Mutants


def changed(value):
    if isinstance(value, bool):
        return [("flipped", not value)]
    if isinstance(value, (int, float)):
        return [("+1", value + 1)]
    if isinstance(value, str):
        return [("suffix", value + "EVIL")]
    if value is None:
        return [("set", "EVIL")]
    return [("filled", ["EVIL"] if isinstance(value, list) else {"EVIL": "EVIL"})]


def leaves(value, path=()):
    """Paths of all leaves; empty lists and objects are leaves."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], path + (key,))
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield from leaves(item, path + (i,))
    else:
        yield path, value


def at(root, path):
    for step in path:
        root = root[step]
    return root


def label(root, path):
    """The path as text; an element of a list is named by its place or text, not by its number."""
    parts = []
    for step in path:
        root = root[step]
        name = root.get("destination") if isinstance(root, dict) else root
        parts.append(
            "{%s}" % name if isinstance(step, int) and isinstance(name, str) else str(step)
        )
    return "/".join(parts)


def mutants(request):
    """(path as text, what was done, mutant) for each leaf, and for each element of a list."""
    done = set()
    for path, value in list(leaves(request)):
        if not path:
            continue
        text = label(request, path)
        for how, new in changed(value):
            mutant = copy.deepcopy(request)
            at(mutant, path[:-1])[path[-1]] = new
            yield text, how, mutant
        mutant = copy.deepcopy(request)
        del at(mutant, path[:-1])[path[-1]]
        yield text, "dropped", mutant
        for end in range(1, len(path) + 1):
            part = path[:end]
            if not isinstance(part[-1], int) or part in done:
                continue
            done.add(part)
            mutant = copy.deepcopy(request)
            parent = at(mutant, part[:-1])
            parent.insert(part[-1], copy.deepcopy(parent[part[-1]]))
            yield label(request, part), "doubled", mutant
            if end < len(path):
                mutant = copy.deepcopy(request)
                del at(mutant, part[:-1])[part[-1]]
                yield label(request, part), "dropped", mutant


def mutation_cases(case, setup):
    """The requests before it once, then every mutant without a trace."""
    cases = [dict(s) for s in setup]
    names = []
    for path, how, mutant in mutants(case["request"]):
        cases.append({"kind": case["kind"], "request": mutant, "probe": True})
        names.append((path, how))
    return cases, names


# --- What a kubelet sends before


def data_of(policy):
    """policy_data as JSON; texts in pieces stay lists."""
    return json.loads(policy[policy.index("\npolicy_data := ") + 16 :])


def create_of(kind, request):
    oci = request.get("OCI") if kind == "CreateContainerRequest" else None
    return oci.get("Annotations") if isinstance(oci, dict) else None


def start_of(container_id):
    return {"kind": "StartContainerRequest", "request": {"container_id": container_id}}


def made(entry, pod, kept):
    """Create and start; a container that is not kept ends, too."""
    request = shim.create(pod, shim.of_policy(entry, pod))
    steps = [
        {"kind": "CreateContainerRequest", "request": request},
        start_of(request["container_id"]),
    ]
    if not kept:
        steps.append(
            {
                "kind": "RemoveContainerRequest",
                "request": {"container_id": request["container_id"], "timeout": 0},
            }
        )
    return steps


def prelude(data, annotations):
    """The sandbox and the init containers that run before a container of these annotations."""
    name = annotations.get("io.kubernetes.cri.sandbox-name", data["name"])
    pod = {
        "name": name,
        "namespace": annotations.get("io.kubernetes.cri.sandbox-namespace", "default"),
    }
    for key, fact in (("id", "sandbox-id"), ("uid", "sandbox-uid")):
        if "io.kubernetes.cri." + fact in annotations:
            pod[key] = annotations["io.kubernetes.cri." + fact]
    if "hostname" in data:
        pod["hostname"] = data["hostname"]
    entries = data["containers"]
    steps = made(entries[0], pod, True)
    for entry in entries[1:]:
        if entry["name"] == annotations.get("io.kubernetes.cri.container-name"):
            break
        if entry.get("init"):
            steps += made(entry, pod, False)
    return steps


def in_order(policy, cases):
    """(steps, index of each case among them): the cases with what must come before them."""
    data = data_of(policy)
    steps, places, has_sandbox = [], [], False
    for case in cases:
        annotations = create_of(case["kind"], case["request"])
        is_container = annotations is not None and "io.kubernetes.cri.container-name" in annotations
        if is_container and not has_sandbox:
            steps += prelude(data, annotations)
            has_sandbox = True
        places.append(len(steps))
        steps.append(case)
        if annotations is not None:
            has_sandbox = has_sandbox or not is_container
            if case.get("start", True):
                steps.append(start_of(case["request"].get("container_id", "")))
    return steps, places


def ask_in_order(judge, policy, cases):
    steps, places = in_order(policy, cases)
    verdicts = judge.ask(policy, steps)
    return [verdicts[p] for p in places]


def before(cases, i):
    """Those of a folder's cases that a case needs: a container is made, others act on it."""
    return (
        []
        if cases[i]["kind"] == "CreateContainerRequest"
        else [c for c in cases[:i] if c["allowed"]]
    )


# --- The tests


class Report:
    def __init__(self):
        self.failures = []
        self.checked = 0

    def check(self, good, text):
        self.checked += 1
        if not good:
            self.failures.append(text)


def folders():
    for root, _, files in sorted(os.walk(CASES)):
        if "testcases.json" in files:
            yield os.path.relpath(root, CASES), root


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def load_cases(folder):
    """Older files call the kind "type", without "Request"."""
    cases = load(os.path.join(folder, "testcases.json"))
    for case in cases:
        if "kind" not in case:
            case["kind"] = case["type"] + ("" if case["type"].endswith("Request") else "Request")
    return cases


def judge_folder(judge, report, name, folder):
    cases = load_cases(folder)
    loose = judge.ask(judge.policy(folder), cases)
    initdata = judge.ask(judge.policy(folder, initdata=True), cases)
    stateless = judge.ask(judge.policy(folder), [dict(c, stateless=True) for c in cases])
    policy = judge.policy(folder, partial=False)
    strict = [ask_in_order(judge, policy, before(cases, i) + [c])[-1] for i, c in enumerate(cases)]
    table = {(allowed, good): 0 for allowed in (True, False) for good in (True, False)}
    for case, verdict, sharp in zip(cases, loose, strict):
        good = verdict["allowed"] == case["allowed"]
        table[case["allowed"], good] += 1
        report.check(
            good,
            "%s: %s: allowed is %s%s"
            % (
                name,
                case["description"],
                verdict["allowed"],
                ", " + verdict["error"] if "error" in verdict else "",
            ),
        )
        report.check(
            case["allowed"] or not sharp["allowed"],
            "%s: %s: the strict policy allows it" % (name, case["description"]),
        )
    for word, others in (("initdata", initdata), ("no state", stateless)):
        for case, other in zip(cases, others):
            report.check(
                other["allowed"] == case["allowed"],
                "%s: %s: %s: allowed is %s" % (name, case["description"], word, other["allowed"]),
            )
    whole = sum(s["allowed"] for s, c in zip(strict, cases) if c["allowed"])
    print(
        "  %-52s %7d %5d   %7d %5d   %4d of %d"
        % (
            name[:52],
            table[True, True],
            table[True, False],
            table[False, True],
            table[False, False],
            whole,
            sum(c["allowed"] for c in cases),
        )
    )
    return table


def judge_cases(judge, report):
    print(
        "  %-52s %13s   %13s   %s\n  %-52s %7s %5s   %7s %5s   %s"
        % ("", "allow", "deny", "whole", "folder", "right", "wrong", "right", "wrong", "requests")
    )
    total = {}
    for name, folder in folders():
        try:
            for key, count in judge_folder(judge, report, name, folder).items():
                total[key] = total.get(key, 0) + count
        except (RuntimeError, ValueError, KeyError, TypeError) as e:
            report.check(False, "%s: %s" % (name, e))
    print(
        "  %-52s %7d %5d   %7d %5d"
        % (
            ("all",)
            + tuple(
                total.get(k, 0)
                for k in ((True, True), (True, False), (False, True), (False, False))
            )
        )
    )


def reason_of(reasons, kind, path, how):
    for entry in reasons:
        if (
            entry["kind"] == kind
            and fnmatch.fnmatchcase(path, entry["path"])
            and how in entry["how"]
        ):
            return entry
    return None


def mutate(judge, policy, case, setup):
    """(mutants, those that are admitted), or None when the request itself is denied."""
    steps, places = in_order(policy, setup + [case])
    steps = steps[: places[-1]]
    asked, names = mutation_cases(case, steps + [dict(case, probe=True)])
    verdicts = judge.ask(policy, asked)[len(steps) :]
    if not verdicts[0]["allowed"]:
        return None
    return len(names), [n for n, v in zip(names, verdicts[1:]) if v["allowed"]]


class Mutants:
    """Counts mutants, and finds the reason of each that is admitted."""

    def __init__(self, report, table):
        self.reasons = load(os.path.join(HERE, "mutants.json"))
        self.used = {id(r): 0 for r in self.reasons}
        self.report, self.table, self.total, self.admitted = report, table, 0, 0

    def add(self, where, case, count, bad):
        self.total += count
        self.admitted += len(bad)
        print("  %-44s %-24s %7d  %d" % (where[:44], case["kind"], count, len(bad)))
        where += ": " + case["description"]
        self.report.check(len(bad) <= 25, "%s: %d mutants admitted" % (where, len(bad)))
        for path, how in bad:
            entry = reason_of(self.reasons, case["kind"], path, how)
            self.report.check(
                entry is not None, "%s: %s %s: admitted, no reason listed" % (where, path, how)
            )
            if entry is not None:
                self.used[id(entry)] += 1
            if self.table:
                print("      %-60s %-8s %s" % (path, how, entry["why"] if entry else "?"))

    def end(self):
        for entry in self.reasons:
            if self.used[id(entry)] == 0:
                print("  note: mutants.json: %s %s admits none" % (entry["kind"], entry["path"]))
        print("  %-44s %-24s %7d  %d" % ("all", "", self.total, self.admitted))


def mutate_folder(judge, mutants_seen, name, folder):
    cases = load_cases(folder)
    policies = {partial: judge.policy(folder, partial=partial) for partial in (False, True)}
    for i, case in enumerate(cases):
        found = mutate(judge, policies[False], case, before(cases, i)) if case["allowed"] else None
        if found is not None:
            mutants_seen.add(name, case, *found)
    for i, case in enumerate(cases if mutants_seen.table else []):
        found = mutate(judge, policies[True], case, before(cases, i)) if case["allowed"] else None
        if found is not None:
            print(
                "      for partial requests: %s: %d of %d"
                % (case["description"], len(found[1]), found[0])
            )


def judge_mutants(judge, report, table):
    seen = Mutants(report, table)
    print("  %-44s %-24s %7s  %s" % ("folder", "request", "mutants", "admitted"))
    for name, folder in folders():
        try:
            mutate_folder(judge, seen, name, folder)
        except (RuntimeError, ValueError, KeyError, TypeError) as e:
            report.check(False, "%s: %s" % (name, e))
    print("  %-44s %-24s %7d  %d" % ("all of them", "", seen.total, seen.admitted))
    for name, book in own_books():
        for case, names, bad in mutate_book(judge, book):
            seen.add(name, case, len(names), bad)
    seen.end()


def step_of(value, step):
    """A key, an index, or an element: by its destination, mount point or text before "="."""
    if isinstance(value, dict) or re.fullmatch(r"[0-9]+", step):
        return int(step) if isinstance(value, list) else step
    names = [
        (
            (v.get("destination") or v.get("mount_point") or v.get("container_path"))
            if isinstance(v, dict)
            else v.split("=")[0]
        )
        for v in value
    ]
    return names.index(step)


def set_at(request, path, value):
    """null or "REMOVE" takes a part out; "APPEND:<JSON>" adds an element."""
    parent, steps = request, path.split("|")
    for step in steps[:-1]:
        parent = parent[step_of(parent, step)]
    if isinstance(value, str) and value.startswith("APPEND:"):
        parent[steps[-1]].append(json.loads(value[7:]))
        return
    steps = [step_of(parent, steps[-1])]
    if value == "REMOVE" or (value is None and isinstance(parent, dict)):
        del parent[steps[-1]]
    else:
        parent[steps[-1]] = value


def judge_attacks(judge, report):
    missing = 0
    for attack in load(os.path.join(HERE, "attacks.json")):
        folder = os.path.join(CASES, attack["folder"])
        if not os.path.isdir(folder):
            missing += 1
            continue
        cases = load_cases(folder)
        asked = []
        for step in attack["steps"]:
            case = copy.deepcopy(cases[step["case"]])
            case["kind"] = step.get("kind", case["kind"])
            case["request"] = step.get("request", case["request"])
            for path, value in step.get("set", {}).items():
                set_at(case["request"], path, value)
            asked.append(dict(case, start=step.get("start", True)))
        for partial in (False, True):
            if attack.get("strict" if partial else "partial"):
                continue
            ask = (
                judge.ask if partial else (lambda policy, cases: ask_in_order(judge, policy, cases))
            )
            verdicts = ask(judge.policy(folder, partial), asked)
            word = " (partial)" if partial else ""
            report.check(
                verdicts[-1]["allowed"] == attack.get("allowed", False),
                "attack: %s%s" % (attack["name"], word),
            )
            for verdict, step in zip(verdicts[:-1], attack["steps"]):
                report.check(
                    verdict["allowed"] == step.get("allowed", True),
                    "attack: %s%s: a step before it" % (attack["name"], word),
                )
    print("  attacks: done, but for %d whose folders are not here" % missing)


# --- Our own cases: cases/*.json


def own_case(book, case):
    """A case with its request: as written, or of "create" or "exec" (shim.py); "set" changes it."""
    pod = dict(book.get("of", {}), **case.get("of", {}))
    parts = book.get("containers", {})
    done = dict(case)
    if "create" in case or "exec" in case:
        container = dict(parts[case.get("create", case.get("exec"))], **case.get("with", {}))
        if "exec" in case:
            done.update(
                kind="ExecProcessRequest", request=shim.execute(pod, container, case["args"])
            )
        else:
            done.update(kind="CreateContainerRequest", request=shim.create(pod, container))
    done["request"] = copy.deepcopy(done["request"])
    given = done["request"].get("container_id", "")
    if given.startswith("@"):
        done["request"]["container_id"] = shim.create(pod, parts[given[1:]])["container_id"]
    for path, value in case.get("set", {}).items():
        set_at(done["request"], path, value)
    return done


def own_steps(book):
    """All requests in order; a container that may be made starts, but for "start": false."""
    steps, wanted = [], []
    for case in book["cases"]:
        done = own_case(book, case)
        steps.append(done)
        wanted.append((case["description"], case["allowed"]))
        if done["kind"] == "CreateContainerRequest" and case["allowed"] and case.get("start", True):
            steps.append(start_of(done["request"]["container_id"]))
            wanted.append((case["description"] + ": it starts", True))
    return steps, wanted


def book_policies(judge, book, profiles):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "pod.yaml"), "w", encoding="utf-8") as f:
            f.write("\n".join(book["pod"]) + "\n")
        with open(os.path.join(folder, "images.json"), "w", encoding="utf-8") as f:
            json.dump(book.get("images", {}), f)
        return {p: judge.policy(folder, partial=False, initdata=p == "initdata") for p in profiles}


def judge_book(judge, report, name, book):
    policies = book_policies(judge, book, book.get("profiles", ["annotation", "initdata"]))
    steps, wanted = own_steps(book)
    right = 0
    start = time.monotonic()
    for profile, policy in policies.items():
        for (text, allowed), verdict in zip(wanted, judge.ask(policy, steps)):
            right += verdict["allowed"] == allowed
            report.check(
                verdict["allowed"] == allowed,
                "%s: %s (%s): allowed is %s%s"
                % (
                    name,
                    text,
                    profile,
                    verdict["allowed"],
                    ", " + verdict["error"] if "error" in verdict else "",
                ),
            )
    older = judge.ask(list(policies.values())[0], [dict(s, stateless=True) for s in steps])
    for (text, allowed), verdict in zip(wanted, older):
        report.check(verdict["allowed"] or not allowed, "%s: %s (no state): denied" % (name, text))
    count = len(wanted) * len(policies)
    print(
        "  own cases: %-28s %3d of %3d right, %5.1f ms each"
        % (name, right, count, (time.monotonic() - start) / count * 1000)
    )


def own_books():
    folder = os.path.join(HERE, "cases")
    return [(name, load(os.path.join(folder, name))) for name in sorted(os.listdir(folder))]


def mutate_book(judge, book):
    """For each case with "mutate": (case, mutants, those that are admitted)."""
    policies = book_policies(judge, book, book.get("profiles", ["annotation"])[:1])
    steps = own_steps(book)[0]
    for i, step in enumerate(steps):
        if step.get("mutate"):
            asked, names = mutation_cases(step, steps[:i])
            verdicts = judge.ask(list(policies.values())[0], asked)[i:]
            yield step, names, [n for n, v in zip(names, verdicts) if v["allowed"]]


def judge_own(judge, report):
    for name, book in own_books():
        try:
            judge_book(judge, report, name, book)
        except RuntimeError as e:
            report.check(False, "%s: %s" % (name, e))


def main(arguments):
    table = "--table" in arguments
    quick = "--quick" in arguments
    arguments = [a for a in arguments if a not in ("--table", "--quick")]
    if len(arguments) != 3:
        sys.exit(__doc__)
    judge = Judge(*arguments)
    report = Report()
    judge_cases(judge, report)
    judge_attacks(judge, report)
    judge_own(judge, report)
    if not quick:
        judge_mutants(judge, report, table)
    for failure in report.failures:
        print("FAILED: " + failure)
    print("judge: %d checks, %d failed" % (report.checked, len(report.failures)))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
