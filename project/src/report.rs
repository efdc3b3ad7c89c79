//! SecretSpec's report of what is there, in its own form: version 1 of its schema
//! (<https://secretspec.dev/schema/resolution-report.schema.json>). It has no values.

use serde::Serialize;

use crate::resolve::{Origin, Resolution, Status, Violation};

/// The store that a value comes from, as SecretSpec names stores.
pub const PROVIDER: &str = "secretsd://";

/// The report.
#[derive(Debug, Serialize)]
pub struct Report<'r> {
    schema_version: u32,
    provider: &'static str,
    profile: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'r str>,
    secrets: Vec<Line<'r>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    constraint_violations: Vec<Broken<'r>>,
}

#[derive(Debug, Serialize)]
struct Line<'r> {
    name: &'r str,
    status: &'static str,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_provider: Option<&'static str>,
    default_applied: bool,
    generated: bool,
    as_path: bool,
}

#[derive(Debug, Serialize)]
struct Broken<'r> {
    kind: &'static str,
    group: &'r str,
    secrets: &'r [String],
    present: &'r [String],
}

impl Status {
    /// What the report calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::MissingRequired => "missing_required",
            Self::MissingOptional => "missing_optional",
        }
    }
}

impl<'r> Report<'r> {
    /// The report on this.
    pub fn of(resolution: &'r Resolution) -> Self {
        let secrets = resolution.shown().map(|entry| Line {
            name: &entry.key,
            status: entry.status.as_str(),
            required: entry.required,
            source_provider: matches!(entry.origin, Some(Origin::Vault(_))).then_some(PROVIDER),
            default_applied: entry.origin == Some(Origin::Default),
            generated: entry.origin == Some(Origin::Made),
            as_path: entry.as_path,
        });
        let secrets: Vec<Line<'r>> = secrets.collect();
        Self {
            schema_version: 1,
            // Where nothing is wanted, no store is.
            provider: if secrets.is_empty() { "" } else { PROVIDER },
            profile: &resolution.choice.profile,
            scope: resolution.choice.scope.as_deref(),
            secrets,
            constraint_violations: resolution.violations.iter().map(Broken::of).collect(),
        }
    }
}

impl<'r> Broken<'r> {
    fn of(violation: &'r Violation) -> Self {
        Self {
            kind: if violation.group.is_exact { "exactly_one" } else { "at_least_one" },
            group: &violation.group.name,
            secrets: &violation.group.members,
            present: &violation.present,
        }
    }
}
