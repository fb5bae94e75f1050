//! What runs differ in before anything is measured.

use serde_json::Value;

use crate::report::Report;

/// Members of the set-up that differ from run to run without meaning.
const IRRELEVANT: &[&str] = &["command_line", "began_unix_ms", "run", "seed"];
/// So many differences are told; whoever has more compares different things on purpose.
const MOST: usize = 12;

/// One sentence for each member of the set-ups that differs.
pub(super) fn differences(base: &Report, new: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let value = |report: &Report| serde_json::to_value(&report.setup).expect("a set-up is serializable");
    compare("", &value(base), &value(new), &mut found);
    if base.commit != new.commit || base.version != new.version {
        let shown = |report: &Report| format!("{} ({})", report.version, report.commit);
        found.push(format!("the generator's version: {} and {}", shown(base), shown(new)));
    }
    match (&base.server, &new.server) {
        (Some(base), Some(new)) => {
            if base.cores != new.cores {
                found.push(format!("the server's cores: {:?} and {:?}", base.cores, new.cores));
            }
            if base.shares_cores != new.shares_cores {
                found.push("in only one of them the server shares cores with the generator".to_owned());
            }
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => {
            found.push("in only one of them the server's process was watched".to_owned());
        }
    }
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(format!("and {more} more"));
    }
    found
}

/// Each sentence once, in order.
pub(super) fn once(sentences: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for sentence in sentences {
        if !found.contains(&sentence) {
            found.push(sentence);
        }
    }
    found
}

fn compare(name: &str, base: &Value, new: &Value, found: &mut Vec<String>) {
    let (Value::Object(base_members), Value::Object(new_members)) = (base, new) else {
        if base != new {
            found.push(format!("{name}: {} and {}", shown(base), shown(new)));
        }
        return;
    };
    for (member, base) in base_members {
        if IRRELEVANT.contains(&member.as_str()) {
            continue;
        }
        let full_name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
        compare(&full_name, base, new_members.get(member).unwrap_or(&Value::Null), found);
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
