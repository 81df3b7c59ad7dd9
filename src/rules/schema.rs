//! The JSON schema of rule files, by which editors complete and check them; from the same tables that read them.

use serde_json::{Map, Value, json};

use crate::mptcp::ResetReason;
use crate::rules::values::{Key, NOT, Shape};
use crate::rules::{keys, policy, settings};
use crate::wire::OptionKind;

/// The whole schema (draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of mpgate, a firewall filter for Multipath TCP",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "policy": object("What is done where no rule speaks.", &policy::KEYS, &[]),
            "limits": object("How much one connection may have, whatever the rules accept.", &settings::LIMITS, &[]),
            "normalize": object("The TCP options that connections may open with.", &settings::NORMALIZE, &["allow"]),
            "sets": {
                "description": "Names for lists of addresses, ports or names.",
                "type": "object",
                "additionalProperties": one_or_list(&json!({
                    "anyOf": [
                        { "type": "string" },
                        { "type": "integer", "minimum": 0, "maximum": u16::MAX },
                        {
                            "type": "object",
                            "properties": { "file": { "type": "string" } },
                            "required": ["file"],
                            "additionalProperties": false
                        }
                    ]
                })),
            },
            "rule": {
                "description": "The first rule that matches a segment speaks.",
                "type": "array",
                "items": object("A rule.", &keys::KEYS, &["name", "action"]),
            },
        },
    })
}

fn object<D>(about: &str, keys: &[Key<D>], required: &[&str]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let property = |description: String| {
            let mut value = shape(key.shape, &(key.words)());
            if let Some(fields) = value.as_object_mut() {
                fields.insert("description".to_owned(), description.into());
            }
            value
        };
        let takes = key.shape.takes();
        properties.insert(key.name.to_owned(), property(format!("{}: {takes}.", key.about)));
        if key.is_negatable() {
            let about = format!("Holds where `{}` would not: {takes}.", key.name);
            properties.insert(format!("{}{NOT}", key.name), property(about));
        }
    }
    json!({
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn shape(shape: Shape, words: &[&str]) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Word => json!({ "enum": words }),
        Shape::Words => one_or_list(&json!({ "enum": words })),
        Shape::Addresses | Shape::Interfaces | Shape::RuleNames => {
            one_or_list(&json!({ "type": "string", "minLength": 1 }))
        }
        Shape::Ports => one_or_list(&number_or(u32::from(u16::MAX), r"^(@\S+|\s*\d+\s*(-\s*\d+\s*)?)$")),
        Shape::Versions => one_or_list(&json!({ "type": "integer", "minimum": 0, "maximum": 15 })),
        Shape::Kinds => one_or_list(&json!({
            "anyOf": [
                { "enum": OptionKind::names().collect::<Vec<_>>() },
                { "type": "string", "pattern": "^exp_0x[0-9a-fA-F]{1,4}$" },
                { "type": "integer", "minimum": 2, "maximum": 255 }
            ]
        })),
        Shape::Counts => one_or_list(&number_or(
            u32::MAX,
            r"^\s*(>=?|<=?|=)?\s*(0x[0-9a-fA-F]+|\d+)\s*(-\s*(0x[0-9a-fA-F]+|\d+)\s*)?$",
        )),
        Shape::Rate => json!({
            "type": "string",
            "pattern": r"^\s*>?\s*\d+/(s|second|m|minute|h|hour)(\s+per\s+(source|destination))?\s*$"
        }),
        Shape::Marks => one_or_list(&number_or(u32::MAX, MARK)),
        Shape::Mark | Shape::Mask => number_or(u32::MAX, MARK),
        Shape::Reason => json!({
            "anyOf": [
                { "enum": ResetReason::ALL.map(ResetReason::label) },
                { "type": "integer", "minimum": 0, "maximum": 255 }
            ]
        }),
        Shape::Number(most) => json!({ "type": "integer", "minimum": 0, "maximum": most }),
    }
}

/// A number, or some of its bits.
const MARK: &str = r"^\s*(0x[0-9a-fA-F]+|\d+)\s*(/\s*(0x[0-9a-fA-F]+|\d+)\s*)?$";

fn number_or(most: u32, pattern: &str) -> Value {
    json!({
        "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": most },
            { "type": "string", "pattern": pattern }
        ]
    })
}

fn one_or_list(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "minItems": 1, "items": item }] })
}
