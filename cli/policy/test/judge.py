#!/usr/bin/env -S python3 -B
"""Judges the policies of testdata/genpolicy with the Kata agent's engine.

    judge.py [--table] [--quick] MAKER CRATE TARGET

MAKER: the policy-maker; CRATE: cli/policy/judge; TARGET: where cargo builds. Per folder of cases:

1. cases: each verdict must be the expected one, with a policy for requests that leave things out
   (--partial), the form of these cases: in both profiles, and in an agent that keeps no state.
   What must be denied is denied by the strict policy, too.
2. mutants: each leaf of each allowed request changed, dropped or, in a list, doubled. A mutant that
   is admitted and is not in mutants.json, with a reason, fails; so do over 25 of one request.
3. attacks: requests of our own that must be denied (or, with "allowed", be allowed): attacks.json.

--table prints the admitted mutants; --quick leaves the mutants out. Exit 77 without cargo or data, 1 under
CI=true. SPDX-License-Identifier: Apache-2.0
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

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("CONTRAST_TESTDATA") or os.path.join(HERE, "../../../../shared/testdata")
CASES = os.path.join(DATA, "genpolicy")


def skip(why):
    print("judge: skipped: " + why)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


class Judge:
    def __init__(self, maker, crate, target):
        self.maker = maker
        self.program = os.path.join(target, "release", "contrast-policy-judge")
        cargo = shutil.which("cargo")
        if cargo is None:
            skip("no cargo (https://rustup.rs); the policies were not judged")
        if not os.path.isdir(CASES):
            skip("no folder " + CASES + "; set CONTRAST_TESTDATA")
        subprocess.run([cargo, "build", "--quiet", "--release", "--locked", "--manifest-path",
                        os.path.join(crate, "Cargo.toml"), "--target-dir", target], check=True)

    def policy(self, folder, partial=True, initdata=False):
        objects = [os.path.join(folder, f) for f in sorted(os.listdir(folder))
                   if f.endswith(".yaml") and f != "pod.yaml"]
        command = [self.maker] + ["--partial"] * partial + ["--initdata"] * initdata
        command += [os.path.join(folder, "pod.yaml"), os.path.join(CASES, "images.json")]
        made = subprocess.run(command + objects, capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(made.stderr.strip())
        return made.stdout.split("'''\n")[1] if initdata else made.stdout

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
        parts.append("{%s}" % name if isinstance(step, int) and isinstance(name, str)
                     else str(step))
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


# --- The three tests

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


def judge_cases(judge, report):
    for name, folder in folders():
        cases = load(os.path.join(folder, "testcases.json"))
        loose = judge.ask(judge.policy(folder), cases)
        initdata = judge.ask(judge.policy(folder, initdata=True), cases)
        stateless = judge.ask(judge.policy(folder), [dict(c, stateless=True) for c in cases])
        strict = judge.ask(judge.policy(folder, partial=False), cases)
        right = 0
        for case, verdict, sharp in zip(cases, loose, strict):
            good = verdict["allowed"] == case["allowed"]
            right += good
            report.check(good, "%s: %s: allowed is %s%s" % (
                name, case["description"], verdict["allowed"],
                ", " + verdict["error"] if "error" in verdict else ""))
            report.check(case["allowed"] or not sharp["allowed"],
                         "%s: %s: the strict policy allows it" % (name, case["description"]))
        for case, other in zip(cases, initdata):
            report.check(other["allowed"] == case["allowed"], "%s: %s: initdata: allowed is %s" % (
                name, case["description"], other["allowed"]))
        for case, other in zip(cases, stateless):
            report.check(other["allowed"] == case["allowed"], "%s: %s: no state: allowed is %s" % (
                name, case["description"], other["allowed"]))
        whole = sum(s["allowed"] for s, c in zip(strict, cases) if c["allowed"])
        print("  %-48s %2d of %2d right; strict: %d of %d allowed" % (
            name, right, len(cases), whole, sum(c["allowed"] for c in cases)))


def reason_of(reasons, kind, path, how):
    for entry in reasons:
        if entry["kind"] == kind and fnmatch.fnmatchcase(path, entry["path"]) and \
                how in entry["how"]:
            return entry
    return None


def judge_mutants(judge, report, table):
    reasons = load(os.path.join(HERE, "mutants.json"))
    used = {id(r): 0 for r in reasons}
    total = admitted = 0
    for name, folder in folders():
        cases = load(os.path.join(folder, "testcases.json"))
        policy = judge.policy(folder, partial=False)
        first = judge.ask(policy, cases)
        for i, case in enumerate(cases):
            if not case["allowed"] or not first[i]["allowed"]:
                continue
            setup = [c for c, v in zip(cases[:i], first) if v["allowed"]]
            asked, names = mutation_cases(case, setup)
            verdicts = judge.ask(policy, asked)[len(setup):]
            bad = [n for n, v in zip(names, verdicts) if v["allowed"]]
            total += len(names)
            admitted += len(bad)
            print("  %-40s %-24s %4d mutants, %2d admitted" % (name, case["kind"], len(names),
                                                            len(bad)))
            report.check(len(bad) <= 25, "%s: %s: %d mutants admitted" % (
                name, case["description"], len(bad)))
            for path, how in bad:
                entry = reason_of(reasons, case["kind"], path, how)
                report.check(entry is not None, "%s: %s: %s %s: admitted, no reason listed" % (
                    name, case["kind"], path, how))
                if entry is not None:
                    used[id(entry)] += 1
                if table:
                    print("      %-60s %-8s %s" % (path, how, entry["why"] if entry else "?"))
    for entry in reasons:
        if used[id(entry)] == 0:
            print("  note: mutants.json: %s %s admits none" % (entry["kind"], entry["path"]))
    print("  %d mutants, %d admitted" % (total, admitted))


def set_at(request, path, value):
    steps = [int(s) if re.fullmatch(r"[0-9]+", s) else s for s in path.split("|")]
    parent = at(request, steps[:-1])
    if value is None and isinstance(parent, dict):
        del parent[steps[-1]]
    else:
        parent[steps[-1]] = value


def judge_attacks(judge, report):
    for attack in load(os.path.join(HERE, "attacks.json")):
        folder = os.path.join(CASES, attack["folder"])
        cases = load(os.path.join(folder, "testcases.json"))
        for partial in (True, False):
            asked = []
            for step in attack["steps"]:
                case = copy.deepcopy(cases[step["case"]])
                case["kind"] = step.get("kind", case["kind"])
                case["request"] = step.get("request", case["request"])
                for path, value in step.get("set", {}).items():
                    set_at(case["request"], path, value)
                asked.append(case)
            verdicts = judge.ask(judge.policy(folder, partial), asked)
            report.check(verdicts[-1]["allowed"] == attack.get("allowed", False),
                         "attack: %s" % attack["name"])
            for verdict, step in zip(verdicts[:-1], attack["steps"]):
                report.check(verdict["allowed"] == step.get("allowed", True),
                             "attack: %s: a step before it" % attack["name"])
    print("  attacks: done")


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
    if not quick:
        judge_mutants(judge, report, table)
    for failure in report.failures:
        print("FAILED: " + failure)
    print("judge: %d checks, %d failed" % (report.checked, len(report.failures)))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
