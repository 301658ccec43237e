//! The judge of policies: asks a policy as the Kata agent does, with the agent's own engine.
//!
//!     policy-judge POLICY.rego CASES.json
//!
//! CASES.json: an array of {"description", "kind", "request"}. Cases run in order on one engine.
//! Its data document starts as {"pstate": {}}; with `"stateless": true` in the first case as {}, as
//! in agents that keep no state. `"probe": true`: the case leaves no trace in the data document.
//! `"reset": true`: the document is as at the start again, before the case.
//!
//! One line of JSON per case: {"allowed": bool} or {"allowed": false, "error": text}. Exit 0 when
//! all cases were asked, whatever the verdicts; 1 when the policy cannot be loaded or the operations
//! of a rule cannot be applied; 2 for wrong arguments or files.
//!
//! Source of the behaviour: kata-containers, src/agent/policy/src/policy.rs (allow_request).
//!
//! SPDX-License-Identifier: Apache-2.0
use regorus::{Engine, Value};
use std::process::exit;

fn fail(code: i32, text: String) -> ! {
    eprintln!("policy-judge: {text}");
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
    let results = match engine.eval_query(format!("data.agent_policy.{kind}"), false) {
        Ok(r) => r,
        Err(e) => return Verdict::denied(format!("{e}")),
    };
    if results.result.len() != 1 || results.result[0].expressions.len() != 1 {
        return Verdict::denied("undefined".to_string());
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

fn judge(policy: &str, cases: &[serde_json::Value]) {
    let mut engine = Engine::new();
    engine.set_rego_v0(true);
    if let Err(e) = engine.add_policy("agent_policy".to_string(), policy.to_string()) {
        fail(1, format!("{e}"));
    }
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
        match verdict.error {
            Some(e) => println!("{}", serde_json::json!({"allowed": false, "error": e})),
            None => println!("{}", serde_json::json!({"allowed": verdict.allowed})),
        }
        if let (true, false, Some(ops)) = (verdict.allowed, case["probe"] == true, verdict.ops) {
            apply(&mut data, ops);
            set_data(&mut engine, &data);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 3 {
        fail(2, "usage: policy-judge POLICY.rego CASES.json".to_string());
    }
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => fail(2, format!("{path}: {e}")),
    };
    let policy = read(&arguments[1]);
    match serde_json::from_str::<Vec<serde_json::Value>>(&read(&arguments[2])) {
        Ok(cases) => judge(&policy, &cases),
        Err(e) => fail(2, format!("{}: {e}", arguments[2])),
    }
}
