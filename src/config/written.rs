//! A value as it is written, in one line: to tell whether two places of a configuration say the same. Not for people.

use super::tree::{Entry, Value};

/// All of a value, the same for values that say the same in the same words.
pub fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Scalar { text, .. } => format!("{text:?}"),
        Value::Seq(items) => {
            let items: Vec<String> = items.iter().map(|item| written(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{:?}: {}", entry.key, written(&entry.node.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
