//! The judge of policies: asks a policy as the Kata agent does, with the agent's own engine.
//!
//!     contrast-policy-judge [--explain] POLICY.rego CASES.json
//!     contrast-policy-judge [--explain] -       reads {"policy": TEXT, "cases": [...]}
//!
//! CASES.json: an array of {"description", "kind", "request"}. Cases run in order on one engine.
//! Its data document starts as {"pstate": {}}; with `"stateless": true` in the first case as {}, as
//! in agents that keep no state. `"probe": true`: the case leaves no trace in the data document.
//! `"reset": true`: the document is as at the start again, before the case.
//!
//! One line of JSON per case: {"allowed": bool} or {"allowed": false, "error": text}; --explain adds
//! "why" to what is denied (explain.rs). Exit 0 when all cases were asked, whatever the verdicts; 1
//! when the policy cannot be loaded or the operations of a rule cannot be applied; 2 for wrong
//! arguments or files.
//!
//! Source of the behaviour: kata-containers, src/agent/policy/src/policy.rs (allow_request).
//!
//! SPDX-License-Identifier: Apache-2.0
mod explain;
mod rules;
mod say;

use regorus::{Engine, Value};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::exit;

/// What the engine says of a rule that has no value.
const UNDEFINED: &str = "undefined";

fn fail(code: i32, text: String) -> ! {
    eprintln!("contrast-policy-judge: {text}");
    exit(code)
}

struct Verdict {
    allowed: bool,
    error: Option<String>,
    ops: Option<serde_json::Value>,
}

impl Verdict {
    fn denied(error: String) -> Verdict {
        Verdict { allowed: false, error: Some(error), ops: None }
    }
}

/// A boolean, or an object with "allowed" and perhaps "ops"; all else is an error: denied.
fn read_answer(value: &Value) -> Verdict {
    if let Ok(allowed) = value.as_bool() {
        return Verdict { allowed: *allowed, error: None, ops: None };
    }
    let answer: serde_json::Value = match value.to_json_str().map(|t| serde_json::from_str(&t)) {
        Ok(Ok(v)) => v,
        _ => return Verdict::denied("the answer is no JSON".to_string()),
    };
    match answer.get("allowed").and_then(|a| a.as_bool()) {
        Some(allowed) => Verdict { allowed, error: None, ops: answer.get("ops").cloned() },
        None => Verdict::denied(format!("the answer is neither a boolean nor an object: {answer}")),
    }
}

fn ask(engine: &mut Engine, case: &serde_json::Value) -> Verdict {
    let (Some(kind), Some(request)) = (case["kind"].as_str(), case.get("request")) else {
        return Verdict::denied("a case needs kind and request".to_string());
    };
    if let Err(e) = engine.set_input_json(&request.to_string()) {
        return Verdict::denied(format!("input: {e}"));
    }
    let results = engine.eval_query(format!("data.agent_policy.{kind}"), false);
    let _ = engine.take_prints();
    let results = match results {
        Ok(r) => r,
        Err(e) => return Verdict::denied(format!("{e}")),
    };
    if results.result.len() != 1 || results.result[0].expressions.len() != 1 {
        return Verdict::denied(UNDEFINED.to_string());
    }
    read_answer(&results.result[0].expressions[0].value)
}

fn set_data(engine: &mut Engine, data: &serde_json::Value) {
    engine.clear_data();
    if let Err(e) = engine.add_data_json(&data.to_string()) {
        fail(1, format!("data: {e}"));
    }
}

fn apply(data: &mut serde_json::Value, ops: serde_json::Value) {
    let patch: json_patch::Patch = match serde_json::from_value(ops) {
        Ok(p) => p,
        Err(e) => fail(1, format!("ops: {e}")),
    };
    if let Err(e) = json_patch::patch(data, &patch) {
        fail(1, format!("ops: {e}"));
    }
}

fn answer(verdict: &Verdict, why: Option<String>) -> serde_json::Value {
    let mut line = serde_json::json!({"allowed": verdict.allowed});
    if let Some(error) = &verdict.error {
        line["error"] = serde_json::json!(error);
    }
    if let Some(why) = why {
        line["why"] = serde_json::json!(why);
    }
    line
}

/// An explanation is help, no verdict: whatever goes wrong in it, the other cases are judged.
fn why(rules: &rules::Rules, engine: &Engine, kind: &str) -> String {
    let told = catch_unwind(AssertUnwindSafe(|| explain::why(rules, engine, kind)));
    told.unwrap_or_else(|_| format!("rule {kind} does not hold"))
}

fn judge(policy: &str, cases: &[serde_json::Value], explains: bool) {
    let mut engine = Engine::new();
    engine.set_rego_v0(true);
    engine.set_gather_prints(true); // some policies print every request
    if let Err(e) = engine.add_policy("agent_policy".to_string(), policy.to_string()) {
        fail(1, format!("{e}"));
    }
    let rules = rules::read(policy);
    let stateless = cases.first().is_some_and(|c| c["stateless"] == true);
    let start = if stateless { serde_json::json!({}) } else { serde_json::json!({"pstate": {}}) };
    let mut data = start.clone();
    set_data(&mut engine, &data);
    for case in cases {
        if case["reset"] == true {
            data = start.clone();
            set_data(&mut engine, &data);
        }
        let verdict = ask(&mut engine, case);
        let is_plain = verdict.error.as_deref().map_or(true, |e| e == UNDEFINED);
        let denied = explains && !verdict.allowed && is_plain;
        let kind = case["kind"].as_str().unwrap_or("");
        println!("{}", answer(&verdict, denied.then(|| why(&rules, &engine, kind))));
        if let (true, false, Some(ops)) = (verdict.allowed, case["probe"] == true, verdict.ops) {
            apply(&mut data, ops);
            set_data(&mut engine, &data);
        }
    }
}

fn parse(name: &str, text: &str) -> serde_json::Value {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => fail(2, format!("{name}: {e}")),
    }
}

/// Policy and cases, from two files or from standard input.
fn read_arguments(arguments: &[String]) -> (String, Vec<serde_json::Value>) {
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => fail(2, format!("{path}: {e}")),
    };
    match arguments {
        [dash] if dash == "-" => {
            let both: serde_json::Value = match std::io::read_to_string(std::io::stdin()) {
                Ok(text) => parse("standard input", &text),
                Err(e) => fail(2, format!("standard input: {e}")),
            };
            let (Some(policy), Some(cases)) = (both["policy"].as_str(), both["cases"].as_array())
            else {
                fail(2, "standard input: needs policy and cases".to_string());
            };
            (policy.to_string(), cases.clone())
        }
        [policy, cases] => match parse(cases, &read(cases)) {
            serde_json::Value::Array(list) => (read(policy), list),
            _ => fail(2, format!("{cases}: must be a list of cases")),
        },
        _ => fail(2, "usage: contrast-policy-judge [--explain] POLICY.rego CASES.json".to_string()),
    }
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let explains = arguments.first().is_some_and(|a| a == "--explain");
    if explains {
        arguments.remove(0);
    }
    let (policy, cases) = read_arguments(&arguments);
    judge(&policy, &cases, explains);
}
