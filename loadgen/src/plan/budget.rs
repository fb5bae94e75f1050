//! What `corecast budget --json` prints: the bytes of everything that the server holds, from the sums that its code uses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

const SCHEMA: u32 = 1;

/// A server's memory, term by term.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Budget {
    pub schema: u32,
    /// What the terms of a shard are for: links to other shards are among them.
    pub shards: u64,
    pub terms: Vec<BudgetTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct BudgetTerm {
    pub name: String,
    pub bytes: u64,
    pub per: Per,
    pub memory: Memory,
    pub explanation: String,
}

/// What a term is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    Connection,
    Subscription,
    Topic,
    Shard,
    Process,
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    User,
    Kernel,
}

/// Why there is no budget.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    #[error("cannot read the budget {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{from} is no budget: {cause}; give what `corecast budget --json` prints")]
    NoBudget { from: String, cause: serde_json::Error },
    #[error(
        "{from} has the schema {found}, but this version reads {SCHEMA}; use the version that belongs to it"
    )]
    OtherSchema { from: String, found: u32 },
    #[error("cannot run {command}: {cause}")]
    CannotRun { command: String, cause: io::Error },
    #[error("{command} failed: {said}")]
    Failed { command: String, said: String },
}

/// Where budgets come from.
#[derive(Clone, Debug)]
pub(super) enum BudgetSource {
    None,
    File(PathBuf),
    /// The server itself, which is asked for the number of shards that is planned.
    Binary(PathBuf),
}

impl BudgetSource {
    /// The budget of a server with so many shards, connections and topics.
    pub(super) fn get(
        &self,
        shards: u64,
        connections: u64,
        topics: u64,
    ) -> Result<Option<Budget>, BudgetError> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => Budget::read(path).map(Some),
            Self::Binary(path) => Budget::ask(path, shards, connections, topics).map(Some),
        }
    }

    pub(super) fn name(&self, shards: u64) -> Option<String> {
        match self {
            Self::None => None,
            Self::File(path) => Some(path.display().to_string()),
            Self::Binary(path) => Some(format!("{} budget --json --shards={shards}", path.display())),
        }
    }
}

impl Budget {
    fn read(path: &Path) -> Result<Self, BudgetError> {
        let text = fs::read_to_string(path)
            .map_err(|cause| BudgetError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text, &path.display().to_string())
    }

    fn ask(binary: &Path, shards: u64, connections: u64, topics: u64) -> Result<Self, BudgetError> {
        let arguments = [
            "budget",
            "--json",
            &format!("--shards={shards}"),
            &format!("--max-connections={connections}"),
            &format!("--max-topics={topics}"),
        ]
        .map(str::to_owned);
        let command = format!("{} {}", binary.display(), arguments.join(" "));
        let done = match Command::new(binary).args(&arguments).output() {
            Ok(done) => done,
            Err(cause) => return Err(BudgetError::CannotRun { command, cause }),
        };
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(BudgetError::Failed { command, said });
        }
        Self::parse(&String::from_utf8_lossy(&done.stdout), &command)
    }

    pub(super) fn parse(text: &str, from: &str) -> Result<Self, BudgetError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let no_budget = |cause| BudgetError::NoBudget { from: from.to_owned(), cause };
        let Head { schema } = serde_json::from_str(text).map_err(no_budget)?;
        if schema != SCHEMA {
            return Err(BudgetError::OtherSchema { from: from.to_owned(), found: schema });
        }
        serde_json::from_str(text).map_err(no_budget)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const TEXT: &str = r#"{
        "schema": 1, "max_connections": 1000, "max_topics": 10, "shards": 2,
        "terms": [
            {"name": "connection slot", "bytes": 88, "per": "connection", "memory": "user", "explanation": "state"},
            {"name": "subscription", "bytes": 16, "per": "connection", "memory": "user", "explanation": "raw"},
            {"name": "socket", "bytes": 4096, "per": "connection", "memory": "kernel", "explanation": "our end"},
            {"name": "subscription", "bytes": 24, "per": "subscription", "memory": "user", "explanation": "JSON"},
            {"name": "topic", "bytes": 976, "per": "topic", "memory": "user", "explanation": "name"},
            {"name": "message log", "bytes": 67108864, "per": "shard", "memory": "user", "explanation": "log_bytes"},
            {"name": "ring", "bytes": 118784, "per": "shard", "memory": "kernel", "explanation": "queues"},
            {"name": "scrape", "bytes": 20000, "per": "process", "memory": "user", "explanation": "the sum"}
        ],
        "per_connection": {"user_bytes": 104, "kernel_bytes": 4096}
    }"#;

    #[test]
    fn terms_are_read_with_what_they_are_multiplied_with() {
        let budget = Budget::parse(TEXT, "budget.json").expect("a budget");
        assert_eq!((budget.shards, budget.terms.len()), (2, 8));
        assert_eq!((budget.terms[2].per, budget.terms[2].memory), (Per::Connection, Memory::Kernel));
    }

    #[test]
    fn what_is_no_budget_is_told_by_why() {
        let message = |text| Budget::parse(text, "b.json").expect_err("no budget").to_string();
        assert!(message("{}").starts_with("b.json is no budget: missing field `schema`"));
        assert_eq!(
            message(r#"{"schema": 2}"#),
            "b.json has the schema 2, but this version reads 1; use the version that belongs to it"
        );
        let source = BudgetSource::Binary("/nonexistent/corecast".into());
        let error = source.get(2, 100, 10).expect_err("no binary").to_string();
        assert!(
            error.starts_with(
                "cannot run /nonexistent/corecast budget --json --shards=2 --max-connections=100 --max-topics=10: "
            ),
            "{error}"
        );
    }
}
