//! Why a request is denied: the first condition that does not hold, with what the policy says and
//! what the request has.
//!
//! A rule is taken apart into its conditions (rules.rs). Each beginning of the list is asked of the
//! engine, in a copy of it that gets one more module of the same package; the first beginning that
//! has no solution names the condition. A condition that calls a function leads into its
//! definitions, with the values that it was called with put below data. Of several definitions, or
//! several containers, the one that gets furthest is told.
//!
//! Works on any policy; where a rule cannot be taken apart, its name is the answer. Never fails.
//!
//! SPDX-License-Identifier: Apache-2.0
use crate::rules::{self, Definition, Rules};
use crate::say::*;
use regorus::{Engine, Value};
use std::collections::BTreeMap;

const DEPTH_MAX: usize = 12;
const QUESTIONS_MAX: usize = 400;
const SOLUTIONS_MAX: usize = 64;
const NOT_MEANT: i64 = -100_000;
/// More than any progress: a definition for just this value is the one that is meant.
const HEAD_FITS: i64 = 5000;

/// What a name in a condition stands for.
#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Request(String),
    Policy(String),
    Unknown,
}

/// One body on the way down: names with their value's place below data, and where they come from.
#[derive(Clone, Default)]
struct Frame {
    rule: String,
    bindings: Vec<(String, String)>,
    origins: BTreeMap<String, Origin>,
    /// In paths: "[_]" or "[k]", and the index that it stands for.
    aliases: Vec<(String, String)>,
    /// "container web", once it is known.
    place: String,
}

/// How far it got: later conditions first, then how many hold in all.
type Score = (i64, i64);

struct Told {
    score: Score,
    text: String,
}

pub struct Explainer<'a> {
    rules: &'a Rules,
    engine: Engine,
    asked: usize,
    stored: usize,
}

pub fn why(rules: &Rules, engine: &Engine, kind: &str) -> String {
    if !rules.by_name.contains_key(kind) {
        return format!("no rule of the policy allows {kind}");
    }
    let mut e = Explainer { rules, engine: engine.clone(), asked: 0, stored: 0 };
    match e.name(kind, &[], &Frame::default(), 0) {
        Some(told) => told.text,
        None => format!("rule {kind} does not hold"),
    }
}

impl Explainer<'_> {
    // --- Questions to the engine

    /// The value of `expression` in the frame, with `given` conditions before it: a list, one
    /// element per solution. None: it could not be asked.
    fn values(&mut self, frame: &Frame, given: &[String], expression: &str) -> Option<Vec<Value>> {
        let comprehension = self.comprehension(frame, given, expression);
        self.ask(&comprehension).and_then(|v| items(&v))
    }

    fn comprehension(&self, frame: &Frame, given: &[String], expression: &str) -> String {
        let mut lines: Vec<String> =
            frame.bindings.iter().map(|(name, value)| format!("{name} := {value}")).collect();
        lines.extend(given.iter().cloned());
        lines.push(format!("zz_value := {expression}"));
        format!("[zz_value |\n{}]", lines.join("\n"))
    }

    fn ask(&mut self, expression: &str) -> Option<Value> {
        self.asked += 1;
        if self.asked > QUESTIONS_MAX {
            return None;
        }
        let module = format!(
            "package {}\n{}\nzz_answer := {}\n",
            self.rules.package,
            self.rules.imports.join("\n"),
            expression
        );
        let mut engine = self.engine.clone();
        engine.add_policy("zz_question".to_string(), module).ok()?;
        let query = format!("data.{}.zz_answer", self.rules.package);
        let results = engine.eval_query(query, false).ok()?;
        results.result.first()?.expressions.first().map(|e| e.value.clone())
    }

    /// How many of the conditions hold, from the first on; None when it could not be asked.
    fn prefix(&mut self, frame: &Frame, conditions: &[String]) -> Option<usize> {
        let lists: Vec<String> = (1..=conditions.len())
            .map(|n| format!("count({})", self.comprehension(frame, &conditions[..n], "1")))
            .collect();
        let counts = self.ask(&format!("[{}]", lists.join(",\n")))?;
        let counts = items(&counts)?;
        Some(counts.iter().take_while(|c| **c != Value::from(0u64)).count())
    }

    /// Puts values where a question can name them.
    fn store(&mut self, value: Value) -> Option<String> {
        self.stored += 1;
        let key = format!("zz_value{}", self.stored);
        let mut object = BTreeMap::new();
        object.insert(Value::from(key.as_str()), value);
        self.engine.add_data(Value::from(object)).ok()?;
        Some(format!("data.{key}"))
    }

    // --- Where values come from

    fn origin(&self, frame: &Frame, expression: &str) -> Origin {
        let references = rules::references(expression);
        let found: Vec<Origin> = references.iter().map(|r| self.origin_of(frame, r, 0)).collect();
        if references.first().is_some_and(|r| r == expression) {
            return found[0].clone();
        }
        let request = found.iter().find(|o| matches!(o, Origin::Request(_)));
        let policy = found.iter().find(|o| matches!(o, Origin::Policy(_)));
        match (request, policy) {
            (Some(o), None) | (None, Some(o)) => o.clone(),
            _ => Origin::Unknown,
        }
    }

    /// The part of the request that an expression reads, whatever else it reads.
    fn request_path(&self, frame: &Frame, expression: &str) -> Option<String> {
        rules::references(expression).iter().find_map(|r| match self.origin_of(frame, r, 0) {
            Origin::Request(path) if !path.is_empty() => Some(path),
            _ => None,
        })
    }

    fn origin_of(&self, frame: &Frame, reference: &str, depth: usize) -> Origin {
        let name = rules::head_of(reference);
        let rest = &reference[name.len()..];
        let base = match name {
            "input" => Origin::Request(String::new()),
            "policy_data" => Origin::Policy(String::new()),
            "data" => Origin::Policy("data".to_string()), // what earlier requests left
            _ => match frame.origins.get(name) {
                Some(origin) => origin.clone(),
                None => self.origin_of_rule(name, depth),
            },
        };
        match base {
            Origin::Request(path) => {
                let mut path = join(&path, rest);
                for (index, value) in &frame.aliases {
                    path = path.replacen(index.as_str(), value, 1);
                }
                Origin::Request(path)
            }
            Origin::Policy(path) => Origin::Policy(join(&path, rest)),
            Origin::Unknown => Origin::Unknown,
        }
    }

    /// A rule that is but another name, or a constant of the policy.
    fn origin_of_rule(&self, name: &str, depth: usize) -> Origin {
        let Some(definitions) = self.rules.by_name.get(name) else {
            return Origin::Unknown;
        };
        let Some(d) = definitions.first() else { return Origin::Unknown };
        if !d.params.is_empty() || depth > 3 || d.value.is_empty() {
            return Origin::Unknown;
        }
        match rules::references(&d.value).first() {
            Some(r) if *r == d.value => self.origin_of(&Frame::default(), r, depth + 1),
            None if definitions.len() == 1 => Origin::Policy(name.to_string()),
            _ => Origin::Unknown,
        }
    }

    /// `x := expression` among the conditions that hold tells where x comes from.
    fn learn(&self, frame: &mut Frame, conditions: &[String]) {
        for condition in conditions {
            if let Some(at) = rules::find(condition, ":=") {
                let value = condition[at + 2..].trim();
                let origin = match (self.origin(frame, value), self.request_path(frame, value)) {
                    (Origin::Unknown, Some(path)) => Origin::Request(path),
                    (origin, _) => origin,
                };
                frame.origins.insert(condition[..at].trim().to_string(), origin);
            }
        }
    }

    // --- Down

    /// All definitions of a rule or function; `arguments` are values below data, with origins.
    fn name(
        &mut self,
        name: &str,
        arguments: &[(String, Origin)],
        from: &Frame,
        depth: usize,
    ) -> Option<Told> {
        let definitions = self.rules.by_name.get(name)?.clone();
        let mut best: Option<Told> = None;
        for definition in &definitions {
            if let Some(told) = self.definition(name, definition, arguments, from, depth) {
                if best.as_ref().map_or(true, |b| told.score > b.score) {
                    best = Some(told);
                }
            }
        }
        match best {
            Some(told) if told.score.0 >= 0 => Some(told),
            other => self.no_definition(name, arguments, from).or(other),
        }
    }

    /// No definition is meant for these arguments.
    fn no_definition(
        &mut self,
        name: &str,
        arguments: &[(String, Origin)],
        from: &Frame,
    ) -> Option<Told> {
        let is_plain = |o: &Origin| matches!(o, Origin::Policy(_));
        let mut parts = Vec::new();
        for (place, origin) in arguments.iter().filter(|(_, o)| !is_plain(o)) {
            let value = show(&self.ask(place)?);
            parts.push(match origin {
                Origin::Request(path) if !path.is_empty() => format!("{path}: {value}"),
                _ => value,
            });
        }
        let text = format!("{} is not allowed (rule {name})", parts.join(", "));
        (!parts.is_empty()).then(|| Told { score: (0, 0), text: at_place(from, &text) })
    }

    fn definition(
        &mut self,
        name: &str,
        definition: &Definition,
        arguments: &[(String, Origin)],
        from: &Frame,
        depth: usize,
    ) -> Option<Told> {
        let mut frame = Frame { rule: name.to_string(), ..Frame::default() };
        frame.place = from.place.clone();
        let mut heads = Vec::new();
        for (param, (place, origin)) in definition.params.iter().zip(arguments) {
            if param.starts_with(|c: char| c.is_ascii_alphabetic()) && param != "null" {
                frame.bindings.push((param.clone(), place.clone()));
                frame.origins.insert(param.clone(), origin.clone());
            } else {
                heads.push(format!("{place} == {param}"));
            }
        }
        if !heads.is_empty() && self.prefix(&frame, &heads)? < heads.len() {
            return Some(Told { score: (NOT_MEANT, 0), text: format!("rule {name} does not hold") });
        }
        if definition.conditions.is_empty() {
            let told = self.failing(&frame, &[], &definition.value, depth)?;
            return Some(Told { score: (0, 0), text: told });
        }
        let mut told = self.body(frame, &definition.conditions, depth)?;
        told.score.0 += if heads.is_empty() { 0 } else { HEAD_FITS };
        Some(told)
    }

    /// The first condition of a body that does not hold.
    fn body(&mut self, mut frame: Frame, conditions: &[String], depth: usize) -> Option<Told> {
        if depth > DEPTH_MAX {
            return None;
        }
        let held = self.prefix(&frame, conditions)?;
        let failing = conditions.get(held)?.clone();
        let given = &conditions[..held];
        self.learn(&mut frame, given);
        let text = self.failing(&frame, given, &failing, depth)?;
        let is_meant = self.reads_request(&frame, &failing) && !self.has_no_form(&frame, given, &failing);
        let progress = (1000 * (held as i64 + 1)) / (conditions.len() as i64 + 1);
        // That something was not asked before says less than what was.
        let progress = if failing.starts_with("absent(data.pstate") { 0 } else { progress };
        Some(Told { score: (if is_meant { progress } else { NOT_MEANT }, held as i64), text })
    }

    /// False for what only the policy or the agent decides: "c.sandbox", "partial", "not has_state",
    /// and for what asks which fields there are.
    fn reads_request(&self, frame: &Frame, condition: &str) -> bool {
        let text = condition.strip_prefix("not ").unwrap_or(condition);
        reads_state(text)
            || (!text.starts_with("absent(")
                && rules::references(text).iter().any(|r| self.is_of_request(frame, r)))
    }

    fn is_of_request(&self, frame: &Frame, reference: &str) -> bool {
        match self.origin_of(frame, reference, 0) {
            Origin::Request(_) => return true,
            Origin::Policy(_) => return false,
            Origin::Unknown => {}
        }
        let mut names = vec![rules::head_of(reference).to_string()];
        let is_variable = !self.rules.by_name.contains_key(&names[0]);
        if frame.origins.contains_key(&names[0]) || (is_variable && names[0] != "data") {
            return true;
        }
        let mut at = 0;
        while at < names.len() {
            for d in self.rules.by_name.get(&names[at]).into_iter().flatten() {
                for c in d.conditions.iter().chain([&d.value]) {
                    for r in rules::references(c) {
                        let name = rules::head_of(&r).to_string();
                        if name == "input" || r.starts_with("data.pstate[") {
                            return true;
                        }
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
            }
            at += 1;
        }
        false
    }

    /// A regular expression that the policy does not have for this value.
    fn has_no_form(&mut self, frame: &Frame, given: &[String], condition: &str) -> bool {
        match regex_parts(condition) {
            Some((pattern, _)) => self.value(frame, given, &pattern).is_none(),
            None => false,
        }
    }

    /// What to say of a condition that does not hold while `given` ones do.
    fn failing(&mut self, f: &Frame, given: &[String], text: &str, depth: usize) -> Option<String> {
        if let Some((name, arguments)) = rules::call(text) {
            if self.rules.by_name.contains_key(&name) && !reads_state(text) {
                return self.called(f, given, &name, &arguments, depth);
            }
        }
        if self.rules.by_name.contains_key(text) {
            return self.name(text, &[], f, depth + 1).map(|t| t.text);
        }
        if reads_state(text) {
            let what = "what earlier requests left does not allow it";
            return Some(at_place(f, &format!("{what} (rule {}: {})", f.rule, shorten(one_line(text)))));
        }
        if let Some(told) = self.counted(f, given, text, depth) {
            return Some(told);
        }
        if let Some(told) = self.empty_list(f, text, depth) {
            return Some(told);
        }
        let what = self.compared(f, given, text).or_else(|| self.read_values(f, given, text));
        let what = what.unwrap_or_else(|| text.to_string());
        Some(at_place(f, &format!("{what} (rule {}: {})", f.rule, shorten(one_line(text)))))
    }

    /// A call that does not hold: of all solutions of what stands before it, the nearest.
    fn called(
        &mut self,
        f: &Frame,
        given: &[String],
        name: &str,
        arguments: &[String],
        depth: usize,
    ) -> Option<String> {
        let list = format!("[{}]", arguments.join(", "));
        let mut solutions = self.values(f, given, &list)?;
        solutions.truncate(SOLUTIONS_MAX);
        if solutions.is_empty() {
            return self.without_argument(f, given, name, arguments);
        }
        let origins: Vec<Origin> = arguments.iter().map(|a| self.origin(f, a)).collect();
        let mut best: Option<Told> = None;
        let is_single = solutions.len() == 1;
        for solution in solutions {
            let mut frame = f.clone();
            let mut stored = Vec::new();
            for (value, origin) in items(&solution)?.into_iter().zip(&origins) {
                note_container(&mut frame, &value, origin);
                stored.push((self.store(value)?, origin.clone()));
            }
            let extra = if is_single { 0 } else { self.held_in_all(name, &stored, &frame) };
            if let Some(mut told) = self.name(name, &stored, &frame, depth + 1) {
                told.score.1 = extra;
                if best.as_ref().map_or(true, |b| told.score > b.score) {
                    best = Some(told);
                }
            }
        }
        best.map(|t| t.text)
    }

    /// A call with an argument that has no value.
    fn without_argument(
        &mut self,
        f: &Frame,
        given: &[String],
        name: &str,
        arguments: &[String],
    ) -> Option<String> {
        let missing = arguments.iter().find(|a| self.value(f, given, a).is_none())?.clone();
        let what = match self.not_asked_before(f, &missing) {
            Some(told) => told,
            None => self.against(f, given, &missing, "needed"),
        };
        Some(at_place(f, &format!("{what} (rule {}: {name})", f.rule)))
    }

    /// How many conditions of a function hold, each for itself.
    fn held_in_all(&mut self, name: &str, arguments: &[(String, Origin)], from: &Frame) -> i64 {
        let Some([definition]) = self.rules.by_name.get(name).map(Vec::as_slice) else {
            return 0;
        };
        let definition = definition.clone();
        let mut frame = from.clone();
        frame.bindings = Vec::new();
        for (param, (place, _)) in definition.params.iter().zip(arguments) {
            frame.bindings.push((param.clone(), place.clone()));
        }
        let lists: Vec<String> = definition
            .conditions
            .iter()
            .map(|c| format!("count({})", self.comprehension(&frame, &[c.clone()], "1")))
            .collect();
        let counts = self.ask(&format!("[{}]", lists.join(",\n"))).and_then(|v| items(&v));
        counts.map_or(0, |c| c.iter().filter(|n| **n != Value::from(0u64)).count() as i64)
    }

    /// `count(expression) == 0`: the elements are what is wrong.
    fn counted(&mut self, f: &Frame, given: &[String], text: &str, depth: usize) -> Option<String> {
        let call = text.strip_suffix("== 0")?.trim();
        let (name, arguments) = rules::call(call)?;
        let ("count", [expression]) = (name.as_str(), arguments.as_slice()) else {
            return None;
        };
        if let Some(deeper) = self.element(f, given, expression, depth) {
            return Some(deeper);
        }
        let found = self.values(f, given, expression)?;
        let mut shown: Vec<String> = Vec::new();
        for element in items(found.first()?)? {
            shown.push(show(&element));
        }
        if shown.is_empty() {
            return None;
        }
        let is_missing = expression.contains(" - ") || expression.contains("absent(");
        let what = if is_missing { "missing" } else { "not allowed" };
        let path = self.request_path(f, expression);
        let path = path.map_or(String::new(), |p| format!("{}: ", clean(&p)));
        let text = format!("{path}{what}: {} (rule {}: {})", shorten(shown.join(", ")), f.rule,
                           shorten(one_line(text)));
        Some(at_place(f, &text))
    }

    /// [x | ...; not check(x)]: why the first x does not pass.
    fn element(&mut self, f: &Frame, given: &[String], list: &str, depth: usize) -> Option<String> {
        let (head, conditions) = rules::comprehension(list)?;
        let mut all = given.to_vec();
        all.extend(conditions.iter().cloned());
        let element = self.values(f, &all, &head)?.into_iter().next()?;
        let mut frame = f.clone();
        self.note_index(&mut frame, given, &head, &conditions, &element);
        self.learn(&mut frame, &conditions);
        if let Some(told) = self.not_listed(&frame, &conditions, &head, &element) {
            return Some(told);
        }
        let last = conditions.last()?;
        let (name, arguments) = rules::call(last.strip_prefix("not ")?)?;
        if !element.as_object().is_ok() || element["destination"].as_string().is_ok() {
            frame.place = format!("{}{}", place_prefix(f), shown_element(&element));
        }
        // Only this element: the conditions that pick it, and its value.
        let mut before = all[..all.len() - 1].to_vec();
        let value = self.store(element)?;
        before.push(format!("{head} == {value}"));
        self.called(&frame, &before, &name, &arguments, depth + 1)
    }

    /// Which element of a list, or which key, the variable of a comprehension stands for.
    fn note_index(
        &mut self,
        frame: &mut Frame,
        given: &[String],
        head: &str,
        conditions: &[String],
        element: &Value,
    ) {
        let key = show(element);
        frame.aliases.push((format!("[{head}]"), format!("[{key}]")));
        for condition in conditions {
            let Some(list) = condition
                .strip_prefix(&format!("{head} := "))
                .and_then(|t| t.strip_suffix("[_]"))
            else {
                continue;
            };
            let found = self.value(frame, given, list).and_then(|v| items(&v));
            if let Some(at) = found.and_then(|l| l.iter().position(|e| e == element)) {
                frame.aliases.push(("[_]".to_string(), format!("[{at}]")));
            }
        }
    }

    /// "not wanted[x]": x is not in a set; the nearest of the set for NAME=VALUE.
    fn not_listed(
        &mut self,
        f: &Frame,
        conditions: &[String],
        head: &str,
        element: &Value,
    ) -> Option<String> {
        let text = element.as_string().ok()?.to_string();
        let (name, _) = text.split_once('=')?;
        let is_check = |c: &&String| c.starts_with("not ") && c.ends_with(&format!("[{head}]"));
        let check = conditions.iter().find(is_check)?;
        let set = check.strip_prefix("not ")?.strip_suffix(&format!("[{head}]"))?;
        let listed = self.listed(f, set)?;
        let near = listed.iter().find(|v| {
            v.as_string().is_ok_and(|s| s.split_once('=').is_some_and(|(n, _)| n == name))
        });
        let path = self.request_path(f, head).map_or(String::new(), |p| format!("{p}: "));
        let wanted = near.map_or(format!("policy has no {name}"), |v| format!("policy {}", show(v)));
        Some(at_place(f, &format!("{path}{wanted}, request {} (rule {})", show(element), f.rule)))
    }

    /// A set that a condition before this one defined.
    fn listed(&mut self, f: &Frame, set: &str) -> Option<Vec<Value>> {
        let known = self.rules.by_name.get(&f.rule)?.clone();
        for definition in known {
            let at = definition.conditions.iter().position(|c| c.starts_with(&format!("{set} := ")));
            if let Some(at) = at {
                let value = self.value(f, &definition.conditions[..=at], set)?;
                return items(&value);
            }
        }
        None
    }

    /// A condition about a list that has no element, such as matches[0].
    fn empty_list(&mut self, f: &Frame, text: &str, depth: usize) -> Option<String> {
        for reference in rules::references(text) {
            let name = rules::head_of(&reference).to_string();
            let Some([d]) = self.rules.by_name.get(&name).map(Vec::as_slice) else {
                continue;
            };
            if let (true, Some((_, conditions))) = (d.params.is_empty(), rules::comprehension(&d.value)) {
                let frame = Frame { rule: name.clone(), place: f.place.clone(), ..Frame::default() };
                if let Some(told) = self.body(frame, &conditions, depth + 1) {
                    return Some(told.text);
                }
            }
        }
        None
    }

    // --- Values

    fn value(&mut self, f: &Frame, given: &[String], expression: &str) -> Option<Value> {
        self.values(f, given, expression)?.into_iter().next()
    }

    fn compared(&mut self, f: &Frame, given: &[String], text: &str) -> Option<String> {
        for operator in [" == ", " != ", " <= ", " >= ", " < ", " > "] {
            let Some(at) = rules::find(text, operator) else {
                continue;
            };
            let (left, right) = (text[..at].trim(), text[at + operator.len()..].trim());
            let (a, b) = (self.value(f, given, left), self.value(f, given, right));
            for (side, value) in [(left, &a), (right, &b)] {
                if let (None, Some(told)) = (value, self.not_asked_before(f, side)) {
                    return Some(told);
                }
            }
            let (from_a, from_b) = (self.origin(f, left), self.origin(f, right));
            let (policy, request, path) = match (&from_a, &from_b) {
                (Origin::Request(p), _) => (b, a, p.clone()),
                (_, Origin::Request(p)) => (a, b, p.clone()),
                (Origin::Policy(_), _) => (a, b, String::new()),
                _ => (b, a, String::new()),
            };
            let path = clean(&path);
            let colon = if path.is_empty() { "" } else { ": " };
            if left.starts_with("count(") && right.starts_with("count({") {
                return Some(format!("{path}{colon}something stands there twice"));
            }
            return Some(match (policy, request) {
                (Some(p), Some(r)) if operator == " == " => {
                    format!("{path}{colon}{}", difference(&p, &r))
                }
                (Some(p), Some(_)) if operator == " != " => {
                    format!("{path}{colon}must not be {}", show(&p))
                }
                (Some(p), Some(r)) => format!("{path}{colon}limit {}, request {}", show(&p), show(&r)),
                (Some(p), None) => format!("{path}{colon}policy {}, request has none", show(&p)),
                (None, Some(r)) => format!("{path}{colon}policy has none, request {}", show(&r)),
                _ => return None,
            });
        }
        None
    }

    /// A rule without a value that looks up what earlier requests left, by a field of this one.
    fn not_asked_before(&mut self, f: &Frame, name: &str) -> Option<String> {
        let definitions = self.rules.by_name.get(name)?.clone();
        let mut texts: Vec<String> = Vec::new();
        for d in &definitions {
            texts.extend(d.conditions.iter().cloned());
            texts.push(d.value.clone());
        }
        if !texts.iter().any(|t| t.contains("data.pstate[")) {
            return None;
        }
        let reference = texts.iter().flat_map(|t| rules::references(t)).find(|r| {
            matches!(self.origin_of(f, r, 0), Origin::Request(path) if !path.is_empty())
        })?;
        let value = self.value(f, &[], &reference)?;
        let path = self.request_path(f, &reference)?;
        Some(format!("{path}: {} is unknown; no earlier request made it", show(&value)))
    }

    /// regex.match(pattern, value), a set's [value], or whatever else reads the request.
    fn read_values(&mut self, f: &Frame, given: &[String], text: &str) -> Option<String> {
        let text = rules::find(text, ":=").map_or(text, |at| text[at + 2..].trim());
        if let Some((pattern, subject)) = regex_parts(text) {
            let wanted = self.value(f, given, &pattern).map_or("?".to_string(), |v| show(&v));
            return Some(self.against(f, given, &subject, &format!("form {wanted}")));
        }
        let reference = text.strip_prefix("not ").unwrap_or(text);
        if let Some((set, subject)) = rules::last_index(reference) {
            let is_constant = matches!(self.origin(f, &set), Origin::Policy(_));
            if is_constant || matches!(self.origin(f, &subject), Origin::Request(_)) {
                let wanted = self.value(f, given, &set).map_or(set.clone(), |v| show(&v));
                return Some(self.against(f, given, &subject, &format!("policy {wanted}")));
            }
        }
        let references = rules::references(reference);
        if let Some(told) = references.iter().find_map(|r| self.not_asked_before(f, r)) {
            return Some(told);
        }
        let subject = references
            .into_iter()
            .find(|r| matches!(self.origin_of(f, r, 0), Origin::Request(_)))?;
        Some(self.against(f, given, &subject, "not allowed"))
    }

    fn against(&mut self, f: &Frame, given: &[String], subject: &str, wanted: &str) -> String {
        let path = match self.origin(f, subject) {
            Origin::Request(path) => format!("{}: ", clean(&path)),
            _ => String::new(),
        };
        match self.value(f, given, subject) {
            Some(value) => format!("{path}{wanted}, request {}", show(&value)),
            None => format!("{path}{wanted}, request has none"),
        }
    }
}

fn place_prefix(f: &Frame) -> String {
    if f.place.is_empty() {
        String::new()
    } else {
        format!("{}: ", f.place)
    }
}

fn at_place(f: &Frame, text: &str) -> String {
    format!("{}{text}", place_prefix(f))
}

/// The first argument that is a container of the policy gives the place its name.
fn note_container(frame: &mut Frame, value: &Value, origin: &Origin) {
    let is_container = matches!(origin, Origin::Policy(path) if path.starts_with("containers"));
    if !is_container || !frame.place.is_empty() {
        return;
    }
    frame.place = match value["name"].as_string() {
        _ if value["sandbox"] == Value::from(true) => "the sandbox".to_string(),
        Ok(name) => format!("container {name}"),
        Err(_) => String::new(),
    };
}
