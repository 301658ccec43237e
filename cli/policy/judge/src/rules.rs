//! The rules of a policy as text: heads, parameters and conditions, so that a denial can be told
//! condition by condition. No full parser of Rego: what it does not understand has no definition
//! here, and the explanation ends there.
//!
//! SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;

/// One definition of a rule or function; those of the same name are alternatives.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    pub params: Vec<String>,
    /// Behind ":=" in the head; "" = true.
    pub value: String,
    pub conditions: Vec<String>,
}

pub struct Rules {
    pub package: String,
    pub imports: Vec<String>,
    pub by_name: BTreeMap<String, Vec<Definition>>,
}

/// Calls `visit(byte offset, depth, is_code)` for each byte: depth of brackets before it; strings
/// and comments are no code.
fn scan(text: &str, mut visit: impl FnMut(usize, usize, bool)) {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0usize);
    let mut quote = 0u8;
    let mut comment = false;
    while at < bytes.len() {
        let c = bytes[at];
        let code = quote == 0 && !comment && c != b'#' && c != b'"' && c != b'`';
        if code && matches!(c, b')' | b']' | b'}') {
            depth = depth.saturating_sub(1);
        }
        visit(at, depth, code);
        if comment {
            comment = c != b'\n';
        } else if quote != 0 {
            if quote == b'"' && c == b'\\' && at + 1 < bytes.len() {
                at += 1;
                visit(at, depth, false);
            } else if c == quote {
                quote = 0;
            }
        } else if c == b'"' || c == b'`' {
            quote = c;
        } else if c == b'#' {
            comment = true;
        } else if matches!(c, b'(' | b'[' | b'{') {
            depth += 1;
        }
        at += 1;
    }
}

/// Splits where `is_cut` holds for a byte of code outside of all brackets; empty parts are left out.
pub fn split(text: &str, is_cut: impl Fn(u8) -> bool) -> Vec<String> {
    let mut parts = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    scan(text, |at, depth, code| {
        let ends = code || bytes[at] == b'\n';
        if ends && depth == 0 && is_cut(bytes[at]) {
            parts.push(text[start..at].trim().to_string());
            start = at + 1;
        }
    });
    parts.push(text[start..].trim().to_string());
    parts.retain(|p| !p.is_empty());
    parts
}

/// The first place of `token` in code outside of all brackets.
pub fn find(text: &str, token: &str) -> Option<usize> {
    let mut found = None;
    scan(text, |at, depth, code| {
        if found.is_none() && code && depth == 0 && text.as_bytes()[at..].starts_with(token.as_bytes()) {
            found = Some(at);
        }
    });
    found
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    for line in text.split('\n') {
        let end = line.match_indices('#').map(|(at, _)| at).find(|at| is_comment(line, *at));
        kept.push_str(line[..end.unwrap_or(line.len())].trim_end());
        kept.push('\n');
    }
    kept
}

/// A "#" outside of strings.
fn is_comment(line: &str, hash: usize) -> bool {
    let mut quote = 0u8;
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < hash {
        let c = bytes[at];
        if quote == b'"' && c == b'\\' {
            at += 1;
        } else if quote != 0 {
            quote = if c == quote { 0 } else { quote };
        } else if c == b'"' || c == b'`' {
            quote = c;
        }
        at += 1;
    }
    quote == 0
}

/// A statement begins with a line that does not begin with white space or a closing bracket.
fn statements(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let starts = !line.is_empty() && !line.starts_with([' ', '\t', '}', ']', ')']);
        match all.last_mut() {
            Some(last) if !starts => {
                last.push_str(line);
                last.push('\n');
            }
            _ if starts => all.push(format!("{line}\n")),
            _ => {}
        }
    }
    all
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands between the outermost braces, or the whole text when there are none.
fn inside_braces(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text)
}

pub fn conditions(body: &str) -> Vec<String> {
    split(body, |c| c == b'\n' || c == b';')
}

/// Head and body of a statement; a head without body when it has none.
fn parts(statement: &str) -> (String, Vec<String>) {
    if let Some(at) = find(statement, " if ") {
        let body = inside_braces(&statement[at + 4..]);
        return (statement[..at].to_string(), conditions(body));
    }
    // Rego v0: name(params) { body }
    if let Some(at) = find(statement, " {") {
        if find(&statement[..at], "=").is_none() {
            return (statement[..at].to_string(), conditions(inside_braces(&statement[at..])));
        }
    }
    (statement.to_string(), Vec::new())
}

fn define(statement: &str) -> Option<(String, Definition)> {
    let (head, conditions) = parts(statement);
    let (place, value) = match find(&head, ":=") {
        Some(at) => (head[..at].trim(), head[at + 2..].trim()),
        None => (head.trim(), ""),
    };
    let (name, params) = match place.find('(') {
        Some(at) => (&place[..at], split(place[at + 1..].trim_end_matches(')'), |c| c == b',')),
        None => (place, Vec::new()),
    };
    let value = if value == "true" { "" } else { value };
    // name[key] := value: what it reads matters, its keys do not.
    let name = name.split('[').next().unwrap_or(name);
    if !is_name(name) || name == "policy_data" {
        return None;
    }
    Some((name.to_string(), Definition { params, value: value.to_string(), conditions }))
}

pub fn read(policy: &str) -> Rules {
    let rules = policy.split("\npolicy_data := ").next().unwrap_or("");
    let mut read = Rules { package: String::new(), imports: Vec::new(), by_name: BTreeMap::new() };
    for statement in statements(&without_comments(rules)) {
        if let Some(name) = statement.strip_prefix("package ") {
            read.package = name.trim().to_string();
        } else if statement.starts_with("import ") {
            read.imports.push(statement.trim().to_string());
        } else if !statement.starts_with("default ") {
            if let Some((name, definition)) = define(&statement) {
                read.by_name.entry(name).or_default().push(definition);
            }
        }
    }
    read
}

/// "f(a, b)" as ("f", [a, b]); None for anything else.
pub fn call(text: &str) -> Option<(String, Vec<String>)> {
    let open = text.find('(')?;
    let name = text[..open].trim();
    if !is_name(name) || !text.ends_with(')') {
        return None;
    }
    let inner = &text[open + 1..text.len() - 1];
    let mut closes_early = false;
    scan(&text[open..text.len() - 1], |at, depth, code| {
        closes_early |= at > 0 && code && depth == 0;
    });
    (!closes_early).then(|| (name.to_string(), split(inner, |c| c == b',')))
}

/// "[head | body]" or "{head | body}" as (head, conditions).
pub fn comprehension(text: &str) -> Option<(String, Vec<String>)> {
    let text = text.trim();
    let inner = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .or_else(|| text.strip_prefix('{').and_then(|t| t.strip_suffix('}')))?;
    let bar = find(inner, "|")?;
    Some((inner[..bar].trim().to_string(), conditions(&inner[bar + 1..])))
}

/// The references of an expression in their order, with what follows the name: `input.a["b"][_]`.
/// What stands in brackets is listed for itself, too, unless it is a string.
pub fn references(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut found: Vec<String> = Vec::new();
    let mut code = vec![false; bytes.len() + 1];
    scan(text, |at, _, is_code| code[at] = is_code);
    let is_word = |at: usize| code[at] && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_');
    for start in 0..bytes.len() {
        let begins = is_word(start)
            && !bytes[start].is_ascii_digit()
            && (start == 0 || !(is_word(start - 1) || bytes[start - 1] == b'.'));
        if begins {
            let reference = text[start..reference_end(text, start)].to_string();
            if !found.contains(&reference) {
                found.push(reference);
            }
        }
    }
    found
}

/// Behind a name and all of its ".field" and "[index]".
fn reference_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut end = text.len();
    while at < bytes.len() {
        match bytes[at] {
            c if c.is_ascii_alphanumeric() || c == b'_' || c == b'.' => at += 1,
            b'[' => match closing(text, at) {
                Some(close) => at = close + 1,
                None => break,
            },
            _ => {
                end = at;
                break;
            }
        }
    }
    end.max(start)
}

/// The place of the bracket that closes the one at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut found = None;
    scan(&text[open..], |at, depth, code| {
        let closes = code && matches!(text.as_bytes()[open + at], b']' | b'}' | b')');
        if found.is_none() && closes && depth == 0 {
            found = Some(open + at);
        }
    });
    found
}

/// "a.b[c]" as ("a.b", "c"): the last index, when the text ends in one.
pub fn last_index(text: &str) -> Option<(String, String)> {
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|o| at + o) {
        let close = closing(text, open)?;
        if close + 1 == text.len() {
            return Some((text[..open].to_string(), text[open + 1..close].to_string()));
        }
        at = close + 1;
    }
    None
}

/// The name that a reference begins with.
pub fn head_of(reference: &str) -> &str {
    let end = reference.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &reference[..end.unwrap_or(reference.len())]
}
