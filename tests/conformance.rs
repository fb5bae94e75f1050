//! `conformance/CLAUSES.md` says where each clause of RFC 6455 and RFC 7692 is held and proved. This holds it to the sources: what
//! it names exists, and no clause is without a test or a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const CLAUSES: &str = "tests/conformance/CLAUSES.md";

/// How a row begins that has no test.
const REASONS: [&str; 2] = ["does not apply: ", "not followed: "];

/// A row of one of the tables.
struct Row {
    line: usize,
    cells: Vec<String>,
}

impl Row {
    fn clause(&self) -> &str {
        &self.cells[0]
    }

    fn held_by(&self) -> &str {
        &self.cells[3]
    }

    fn proof(&self) -> &str {
        &self.cells[4]
    }
}

/// The tables of the page, apart from their heads and rules.
struct Page {
    clauses: Vec<Row>,
    files: BTreeMap<String, PathBuf>,
}

fn page() -> Page {
    let text = fs::read_to_string(root().join(CLAUSES)).expect("the page is there");
    let mut page = Page { clauses: Vec::new(), files: BTreeMap::new() };
    for (index, line) in text.lines().enumerate() {
        let Some(inside) = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else { continue };
        let cells: Vec<String> = inside.split('|').map(|cell| cell.trim().to_owned()).collect();
        let line = index + 1;
        match &cells[..] {
            [first, ..] if first.starts_with("---") || first == "clause" || first == "name" => {}
            [name, file] => {
                let name = name.trim_matches('`').to_owned();
                assert!(
                    page.files.insert(name, root().join(file)).is_none(),
                    "{CLAUSES}:{line}: named twice"
                );
            }
            [_, _, _, _, _] => page.clauses.push(Row { line, cells }),
            _ => panic!("{CLAUSES}:{line}: a row has five cells, or two: {cells:?}"),
        }
    }
    page
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// What stands between backticks with `::` in it: the short name of a file, and what is in there.
fn references(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect()
}

/// Whether the source defines a function of this name, or in JavaScript a method or test.
fn defines(file: &Path, source: &str, name: &str) -> bool {
    let is_end = |rest: &str| rest.starts_with(['(', '<']);
    let after =
        |before: &str| source.match_indices(before).any(|(at, _)| is_end(&source[at + before.len()..]));
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => after(&format!("fn {name}")),
        Some("py") => after(&format!("def {name}")),
        Some("js") => {
            source.contains(&format!("test('{name}',"))
                || after(&format!("\nfunction {name}"))
                || after(&format!("\n  #{name}"))
        }
        other => panic!("{}: functions of {other:?} are not known", file.display()),
    }
}

/// Whether it is a test there: the function alone may be a helper.
fn is_test(file: &Path, source: &str, name: &str) -> bool {
    if file.extension().is_none_or(|extension| extension != "rs") {
        return source.contains(&format!("def test_{}", name.trim_start_matches("test_")))
            || source.contains(&format!("test('{name}',"));
    }
    // A check of both sides is listed in `both_sides!`.
    let is_listed = source.lines().any(|line| line.trim() == format!("{name},"));
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_marked =
        lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&format!("fn {name}(")));
    is_listed || is_marked
}

#[test]
fn every_clause_has_a_test_or_a_reason() {
    let mut faults = Vec::new();
    for row in page().clauses {
        let (proof, tests) = (row.proof(), references(row.proof()));
        let has_reason =
            REASONS.iter().any(|reason| proof.strip_prefix(reason).is_some_and(|why| why.len() >= 8));
        if !has_reason && tests.is_empty() {
            faults.push(format!(
                "{CLAUSES}:{}: {} has neither a test nor a reason: {proof}",
                row.line,
                row.clause()
            ));
        }
        if !has_reason && !proof.starts_with('`') {
            faults
                .push(format!("{CLAUSES}:{}: a proof is tests, or begins with one of {REASONS:?}", row.line));
        }
        if references(row.held_by()).is_empty() {
            faults.push(format!("{CLAUSES}:{}: {} is held by nothing", row.line, row.clause()));
        }
        if proof.starts_with("not followed: ") && row.clause().is_empty() {
            faults.push(format!("{CLAUSES}:{}: of which clause?", row.line));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_function_and_test_that_is_named_exists() {
    let page = page();
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, file) in &page.files {
        match fs::read_to_string(file) {
            Ok(source) => drop(sources.insert(name, source)),
            Err(error) => faults.push(format!("{CLAUSES}: `{name}` is {}: {error}", file.display())),
        }
    }
    for row in &page.clauses {
        let held_by = references(row.held_by()).into_iter().map(|reference| (reference, false));
        let proof = references(row.proof()).into_iter().map(|reference| (reference, true));
        for ((short, name), is_proof) in held_by.chain(proof) {
            let place = format!("{CLAUSES}:{}: `{short}::{name}`", row.line);
            match (page.files.get(short), sources.get(short)) {
                (Some(file), Some(source)) if !defines(file, source, name) => {
                    faults.push(format!("{place}: {} has no such function", file.display()));
                }
                (Some(file), Some(source)) if is_proof && !is_test(file, source, name) => {
                    faults.push(format!("{place}: it is no test"));
                }
                (Some(_), _) => {}
                (None, _) => faults.push(format!("{place}: no such short name")),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_short_name_is_used_and_every_section_is_there() {
    let page = page();
    let cells = || page.clauses.iter().flat_map(|row| [row.held_by(), row.proof()]);
    let used: BTreeSet<&str> = cells().flat_map(references).map(|(short, _)| short).collect();
    let unused: Vec<&String> = page.files.keys().filter(|name| !used.contains(name.as_str())).collect();
    assert!(unused.is_empty(), "{CLAUSES}: {unused:?} are named for nothing");
    let sections: BTreeSet<&str> = page
        .clauses
        .iter()
        .map(|row| row.clause().split([' ', ',']).next().expect("a clause begins with its section"))
        .collect();
    for section in [
        "§3",
        "§4.1",
        "§4.2.1",
        "§4.2.2",
        "§4.3",
        "§4.4",
        "§5.1",
        "§5.2",
        "§5.3",
        "§5.4",
        "§5.5",
        "§5.5.1",
        "§5.5.2",
        "§5.5.3",
        "§5.6",
        "§5.8",
        "§6.1",
        "§6.2",
        "§7.1.1",
        "§7.1.2",
        "§7.1.5",
        "§7.1.7",
        "§7.2.1",
        "§7.2.2",
        "§7.2.3",
        "§7.3",
        "§7.4.1",
        "§8.1",
        "§9",
        "§9.1",
        "§10.1",
        "§10.2",
        "§10.3",
        "§10.4",
        "§10.6",
        "§10.7",
        "§6",
        "§7.1",
        "§7.1.1.1",
        "§7.1.1.2",
        "§7.1.2.1",
        "§7.1.2.2",
        "§7.2.1",
        "§7.2.2",
        "§8",
    ] {
        assert!(sections.contains(section), "{CLAUSES}: nothing of {section}");
    }
}
