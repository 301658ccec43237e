//! Values and paths in words.
//!
//! SPDX-License-Identifier: Apache-2.0
use crate::rules;
use regorus::Value;

pub const TEXT_MAX: usize = 300;

pub fn shorten(text: String) -> String {
    if text.len() <= TEXT_MAX {
        return text;
    }
    let mut end = TEXT_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... ({} bytes)", &text[..end], text.len())
}

pub fn show(value: &Value) -> String {
    match value.to_json_str() {
        Ok(text) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(compact) => shorten(compact.to_string()),
            Err(_) => shorten(text),
        },
        Err(_) => "?".to_string(),
    }
}

pub fn items(value: &Value) -> Option<Vec<Value>> {
    if let Ok(list) = value.as_array() {
        return Some(list.to_vec());
    }
    value.as_set().ok().map(|s| s.iter().cloned().collect())
}

/// What differs between two lists or sets that are too long to be shown; or both values.
pub fn difference(policy: &Value, request: &Value) -> String {
    let whole = format!("policy {}, request {}", show(policy), show(request));
    let (Some(want), Some(have)) = (items(policy), items(request)) else {
        return whole;
    };
    if policy.as_set().is_ok() {
        let missing: Vec<Value> = want.iter().filter(|w| !have.contains(w)).cloned().collect();
        let extra: Vec<Value> = have.iter().filter(|h| !want.contains(h)).cloned().collect();
        let difference = missing_and_extra(&missing, &extra);
        return if whole.len() > TEXT_MAX { difference } else { format!("{whole}; {difference}") };
    }
    match (0..want.len().max(have.len())).find(|i| want.get(*i) != have.get(*i)) {
        Some(i) if whole.len() > TEXT_MAX => {
            let at = |list: &[Value]| list.get(i).map_or("nothing".to_string(), show);
            format!("first difference at [{i}]: policy {}, request {}", at(&want), at(&have))
        }
        _ => whole,
    }
}

pub fn missing_and_extra(missing: &[Value], extra: &[Value]) -> String {
    let mut parts = Vec::new();
    for (name, list) in [("missing", missing), ("too much", extra)] {
        if !list.is_empty() {
            let shown: Vec<String> = list.iter().map(show).collect();
            parts.push(format!("{name}: {}", shorten(shown.join(", "))));
        }
    }
    parts.join("; ")
}

/// "OCI" + ".Process" + `["a.b"]`: the path of a field of the request.
pub fn join(base: &str, rest: &str) -> String {
    let path = format!("{base}{rest}");
    path.trim_start_matches('.').to_string()
}

/// Without the variables that run over all elements.
pub fn clean(mut path: &str) -> &str {
    while let (Some(open), true) = (path.rfind('['), path.ends_with(']')) {
        let index = &path[open + 1..path.len() - 1];
        if !index.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
            break;
        }
        path = &path[..open];
    }
    path
}

pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A mount by its place, anything else as it is.
pub fn shown_element(element: &Value) -> String {
    match element["destination"].as_string() {
        Ok(place) => format!("mount {place}"),
        Err(_) => show(element),
    }
}

/// A condition on what was asked before. Comparisons with it are told like others.
pub fn reads_state(condition: &str) -> bool {
    condition.contains("(data.pstate") && !condition.contains(" == ")
}

pub fn regex_parts(condition: &str) -> Option<(String, String)> {
    let inner = condition.strip_prefix("regex.match(").and_then(|t| t.strip_suffix(')'))?;
    match rules::split(inner, |c| c == b',').as_slice() {
        [pattern, subject] => Some((pattern.clone(), subject.clone())),
        _ => None,
    }
}
