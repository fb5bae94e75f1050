//! What the sources must look like: who may import whom, where unsafe code and clocks may stand, how long a file may be,
//! that every metric is counted and every setting documented.
//!
//! The sources are read as text, without comments and without the contents of literals. That is enough for names, and it
//! needs no parser.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the layering: a module, by the beginning of its path, and what of ours it may import.
struct Layer {
    place: &'static str,
    /// Top-level modules of its own package, and other packages of ours.
    may_import: &'static [&'static str],
}

const fn layer(place: &'static str, may_import: &'static [&'static str]) -> Layer {
    Layer { place, may_import }
}

/// `hub` and `net` never see each other: `shard` is where a cursor meets a socket.
///
/// Modules of the server that are not listed (`shard`, `running`, `main`, `doctor`) put the others together and may import
/// all of them. Each module may import itself.
const LAYERS: &[Layer] = &[
    layer("server/protocol/src", &[]),
    layer("server/uring/src", &[]),
    layer("server/src/ids.rs", &["corecast_protocol"]),
    layer("server/src/config", &["ids", "observe", "corecast_uring"]),
    layer("server/src/observe", &["ids", "config"]),
    layer("server/src/hub", &["ids", "pages", "config", "dialect", "message", "corecast_protocol"]),
    layer("server/src/deflate.rs", &["ids", "dialect", "message", "corecast_protocol"]),
    layer("server/src/dialect", &["ids", "corecast_protocol"]),
    layer("server/src/http", &["ids", "observe", "dialect", "corecast_protocol"]),
    layer("server/src/message.rs", &["ids"]),
    layer("server/src/pages.rs", &[]),
    layer("server/src/mesh", &["ids", "config", "dialect", "http", "message", "corecast_protocol"]),
    layer("server/src/home.rs", &["ids", "mesh", "corecast_protocol"]),
    layer("server/src/topics.rs", &["ids", "home", "mesh", "dialect", "corecast_protocol"]),
    layer(
        "server/src/net",
        &[
            "ids",
            "config",
            "observe",
            "http",
            "home",
            "mesh",
            "message",
            "pages",
            "corecast_protocol",
            "corecast_uring",
        ],
    ),
    layer("loadgen/src", &["corecast_protocol", "corecast_uring", "corecast_load"]),
];

/// Packages of ours, as they are imported.
const PACKAGES: &[&str] =
    &["corecast", "corecast_protocol", "corecast_uring", "corecast_load", "corecast_tests"];

#[test]
fn modules_import_only_what_their_layer_allows() {
    let mut violations = Vec::new();
    for source in sources() {
        let Some(layer) = LAYERS.iter().find(|layer| is_in(&source.path, layer.place)) else { continue };
        for import in imports(&source) {
            let is_own =
                import.is_module && (is_own_module(layer.place, &import.name) || has_one_layer(layer.place));
            if !is_own && !layer.may_import.contains(&import.name.as_str()) {
                violations.push(format!("{}:{} imports {}", source.path, import.line, import.name));
            }
        }
    }
    assert_none(&violations, "imports against the layering (LAYERS in tests/tidy.rs)");
}

#[test]
fn every_place_of_the_layering_exists() {
    for layer in LAYERS {
        assert!(root().join(layer.place).exists(), "{} is gone: take it out of LAYERS", layer.place);
    }
}

/// Time, randomness and sockets are arguments: nobody below the shard's step asks for them.
#[test]
fn pure_modules_use_no_clock_randomness_or_sockets() {
    const PURE: &[&str] = &[
        "server/protocol/src",
        "server/src/ids.rs",
        "server/src/pages.rs",
        "server/src/hub",
        "server/src/deflate.rs",
        "server/src/message.rs",
        "server/src/dialect",
        "server/src/http",
        "server/src/net/connection.rs",
        "server/src/net/outbound.rs",
        "server/src/net/table.rs",
        "loadgen/src/schedule.rs",
        "loadgen/src/stamp.rs",
        "loadgen/src/check.rs",
    ];
    const BANNED: &[&str] = &[
        "Instant",
        "SystemTime",
        "UNIX_EPOCH",
        "rand",
        "fastrand",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "thread",
        "tracing",
        "println",
        "eprintln",
    ];
    let mut violations = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|place| is_in(&source.path, place)) {
            continue;
        }
        for (line, text) in source.code_without_tests().lines().enumerate() {
            for word in words(text).filter(|word| BANNED.contains(word)) {
                violations.push(format!("{}:{} uses {word}", source.path, line + 1));
            }
        }
    }
    assert_none(&violations, "clocks, randomness, sockets or logging in pure modules");
}

/// `now` is read once a turn, by whoever calls the shard's step.
#[test]
fn the_server_reads_the_clock_in_one_place() {
    let readers: BTreeSet<String> = sources()
        .filter(|source| is_in(&source.path, "server/src"))
        .filter(|source| {
            words(&source.code_without_tests()).any(|word| word == "Instant" || word == "SystemTime")
        })
        .map(|source| source.path)
        .collect();
    assert_eq!(readers.into_iter().collect::<Vec<_>>(), ["server/src/shard/executor.rs"]);
}

#[test]
fn unsafe_code_stands_only_in_the_ring_the_mask_and_an_option_of_the_allocator() {
    const ALLOWED: &[&str] = &["server/uring", "server/protocol/src/mask", "server/src/allocator.rs"];
    let mut violations = Vec::new();
    for source in sources() {
        if ALLOWED.iter().any(|place| is_in(&source.path, place)) {
            continue;
        }
        for (line, text) in source.code.lines().enumerate() {
            // Also `allow(unsafe_code)`, which would lift the workspace's lint.
            let says_so = words(text).any(|word| word == "unsafe");
            let lifts_lint = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
            if (says_so || lifts_lint) && !is_lift_for_mask(&source.path, text) {
                violations.push(format!("{}:{}: {}", source.path, line + 1, text.trim()));
            }
        }
    }
    assert_none(&violations, "unsafe code outside of the places for it");
}

/// The lint is lifted where the module is declared.
fn is_lift_for_mask(path: &str, text: &str) -> bool {
    path == "server/protocol/src/lib.rs" && text.contains("allow(unsafe_code")
}

#[test]
fn no_file_is_over_700_lines() {
    const MOST: usize = 700;
    let extensions = ["rs", "py", "js", "mjs", "sh", "toml", "md"];
    let violations: Vec<String> = files(&extensions)
        .map(|path| {
            (path.clone(), fs::read_to_string(root().join(&path)).expect("a text file").lines().count())
        })
        .filter(|&(_, lines)| lines > MOST)
        .map(|(path, lines)| format!("{path} has {lines} lines"))
        .collect();
    assert_none(&violations, "files over 700 lines: each is one idea");
}

#[test]
fn nothing_is_left_unfinished() {
    let mut violations = Vec::new();
    for source in sources() {
        for (line, text) in source.code.lines().enumerate() {
            if ["todo!", "unimplemented!", "dbg!"].iter().any(|mark| text.contains(mark)) {
                violations.push(format!("{}:{}: {}", source.path, line + 1, text.trim()));
            }
        }
    }
    assert_none(&violations, "unfinished by its own words");
}

#[test]
fn every_counter_is_counted_somewhere() {
    let list = Source::read("server/src/observe/counters.rs").raw;
    let table = between(&list, "\ncounters! {", "\n}");
    let fields: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let field = words.next()?;
            matches!(words.next()?, "Counter" | "Gauge").then_some(field)
        })
        .collect();
    assert!(fields.len() > 30, "the list of counters was not understood: {fields:?}");

    let code: String = sources()
        .filter(|source| is_in(&source.path, "server/src") && !is_in(&source.path, "server/src/observe"))
        .map(|source| source.code_without_tests())
        .collect();
    let is_assigned = |field: &str| {
        code.match_indices(&format!(".{field}")).any(|(at, found)| {
            let rest = code[at + found.len()..].trim_start();
            rest.starts_with("+=") || rest.starts_with('=') && !rest.starts_with("==")
        })
    };
    let mut violations: Vec<String> = fields
        .iter()
        .filter(|field| !is_assigned(field))
        .map(|field| format!("{field} never changes"))
        .collect();
    for method in [".protocol_error(", ".close("] {
        if !code.contains(&format!("counters{method}")) {
            violations.push(format!("counters{method}) is never called"));
        }
    }
    assert_none(&violations, "counters that stay at zero");
}

#[test]
fn the_example_configuration_has_every_setting_and_no_other() {
    let arguments = Source::read("server/src/config/arguments.rs").code;
    let mut settings = BTreeSet::new();
    // The groups are the fields of `Settings`; each group's fields are the settings.
    for group in fields(&arguments, "Settings") {
        for (setting, _) in fields(&arguments, &group.1) {
            settings.insert(setting);
        }
    }
    assert!(settings.len() > 20, "the settings were not understood: {settings:?}");

    let example = fs::read_to_string(root().join("server/config.toml")).expect("the example configuration");
    let keys: BTreeSet<String> = example
        .lines()
        // A default that depends on the host is commented out, without a space, unlike prose.
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once(" = "))
        .map(|(key, _)| key.to_owned())
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    assert_eq!(settings, keys, "server/config.toml and the settings of config/arguments.rs");
}

// Reading the sources -----------------------------------------------------------------------------------------------

struct Source {
    /// From the repository's root.
    path: String,
    raw: String,
    /// The same text with comments and the contents of literals blanked out; lines stay where they are.
    code: String,
}

impl Source {
    fn read(path: &str) -> Self {
        let raw = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), code: blank(&raw), raw }
    }

    /// The code up to the unit tests, which stand last; nothing of a file that is only tests.
    fn code_without_tests(&self) -> String {
        if self.path.contains("/tests/") || self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let tests = self.code.match_indices("\n#[cfg(test)]\n").find(|(at, _)| {
            let item = self.code[at + 1..].lines().find(|line| !line.starts_with("#[")).unwrap_or_default();
            words(item).any(|word| word == "mod") && item.ends_with('{')
        });
        self.code[..tests.map_or(self.code.len(), |(at, _)| at)].to_owned()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands in the repository").to_owned()
}

/// All Rust sources, in a fixed order.
fn sources() -> impl Iterator<Item = Source> {
    files(&["rs"]).map(|path| Source::read(&path))
}

/// All files of ours with one of these extensions, by their paths from the root.
fn files(extensions: &[&str]) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for folder in ["server", "loadgen", "tests", "benches", "tuning"] {
        collect(&root().join(folder), extensions, &mut found);
    }
    assert!(found.len() > 20, "no sources below {}", root().display());
    found.sort();
    found.into_iter()
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder's entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What was installed or built is not ours.
        if name == "target" || name == "node_modules" || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, extensions, found);
        } else if path
            .extension()
            .is_some_and(|extension| extensions.contains(&&*extension.to_string_lossy()))
        {
            let path = path.strip_prefix(root()).expect("below the root");
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

/// Whether a file is `place` or below it. `server/src/hub` is also `server/src/hub.rs`.
fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
}

/// The module of the server that a layer stands for.
fn is_own_module(place: &str, module: &str) -> bool {
    place.strip_prefix("server/src/").is_some_and(|own| own.trim_end_matches(".rs") == module)
}

/// Whether the layer is a whole package, within which this table says nothing.
fn has_one_layer(place: &str) -> bool {
    !place.starts_with("server/src/")
}

struct Import {
    line: usize,
    name: String,
    /// A module of the file's own package, not another package.
    is_module: bool,
}

/// Everything of ours that a file names by a path: in `use` declarations and in the middle of code.
fn imports(source: &Source) -> Vec<Import> {
    let mut found = Vec::new();
    let code = source.code_without_tests();
    let mut add = |at: usize, name: &str, is_module| {
        let line = code[..at].matches('\n').count() + 1;
        found.push(Import { line, name: name.to_owned(), is_module });
    };
    for (at, _) in code.match_indices("crate::") {
        for module in first_names(&code[at + "crate::".len()..]) {
            add(at, module, true);
        }
    }
    for package in PACKAGES {
        for (at, _) in code.match_indices(package) {
            let before = code[..at].chars().next_back();
            let after = code[at + package.len()..].chars().next();
            if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
                add(at, package, false);
            }
        }
    }
    for (at, name) in beyond_own_module(&source.path, &code) {
        add(at, &name, true);
    }
    found
}

/// Modules reached by `super::super::...`, which climbs out of a top-level module.
fn beyond_own_module(path: &str, code: &str) -> Vec<(usize, String)> {
    let Some((_, inside)) = path.split_once("/src/") else { return Vec::new() };
    let is_root_of_folder = inside.ends_with("/mod.rs");
    // src/a.rs and src/a/mod.rs are one module below the crate, src/a/b.rs is two.
    let depth = inside.matches('/').count() + 1 - usize::from(is_root_of_folder);
    let climb = "super::".repeat(depth);
    code.match_indices(&climb)
        .filter(|&(at, _)| !code[..at].ends_with("::") && !code[at + climb.len()..].starts_with("super::"))
        .flat_map(|(at, _)| {
            first_names(&code[at + climb.len()..]).into_iter().map(move |name| (at, name.to_owned()))
        })
        .collect()
}

/// The first names of a path or of each path in braces: `a::b` and `{a::b, c::{d, e}}` give `a` and `a`, `c`.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else { return words(path).take(1).collect() };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut is_first = true;
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_first = true,
            _ if is_first && is_word(char) => {
                names.extend(words(&group[at..]).next());
                is_first = false;
            }
            _ => {}
        }
    }
    names
}

/// Names and types of a struct's public fields.
fn fields(code: &str, name: &str) -> Vec<(String, String)> {
    let body = between(code, &format!("pub struct {name} {{"), "\n}");
    body.lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.trim_end_matches(',').split_once(": "))
        .map(|(field, kind)| (field.to_owned(), kind.to_owned()))
        .collect()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("there is no {start:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?}")).0
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char| !is_word(char)).filter(|word| !word.is_empty())
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn assert_none(violations: &[String], what: &str) {
    assert!(violations.is_empty(), "{what}:\n  {}", violations.join("\n  "));
}

/// Blanks out comments, and what is inside string and character literals. Every other character and all line ends stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_comment_end(&chars, at),
            ('/', Some('*')) => block_comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#'))
                if !at.checked_sub(1).is_some_and(|before| is_prefix_free(chars[before])) =>
            {
                raw_string_end(&chars, at)
            }
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&char| if char == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// A letter before an `r` makes it the end of a name, except the `b` of a byte string.
fn is_prefix_free(before: char) -> bool {
    is_word(before) && before != 'b'
}

fn line_comment_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&char| char == '\n').map_or(chars.len(), |length| at + length)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of `r#"..."#`; `at` itself where it is a raw identifier such as `r#type`.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&char| char == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut end = at + 2 + hashes;
    while end < chars.len() {
        let closes =
            chars[end] == '"' && chars[end + 1..].iter().take_while(|&&char| char == '#').count() >= hashes;
        if closes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    end
}

/// The end of a character literal; `at` itself where the quote begins a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let close = chars[at + 3..].iter().position(|&char| char == '\'').expect("a literal ends");
            at + 3 + close + 1
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

// The reader itself -------------------------------------------------------------------------------------------------

#[test]
fn comments_and_literals_are_not_code() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" i 'j' '\\'' 'k r#\"l \" m\"# n r#type";
    assert_eq!(words(&blank(text)).collect::<Vec<_>>(), ["a", "e", "i", "k", "n", "r", "type"],);
    assert_eq!(blank(text).matches('\n').count(), 1);
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let names = |path: &str, text: &str| {
        let source = Source { path: path.to_owned(), raw: String::new(), code: blank(text) };
        imports(&source).into_iter().map(|import| import.name).collect::<Vec<_>>()
    };
    assert_eq!(names("server/src/hub/log.rs", "use crate::net::table;"), ["net"]);
    assert_eq!(
        names("server/src/hub/log.rs", "use crate::{ids::{A, B}, net, http as h};"),
        ["ids", "net", "http"]
    );
    assert_eq!(names("server/src/hub/log.rs", "fn f() { crate::net::g() }"), ["net"]);
    assert_eq!(names("server/src/hub/log.rs", "use super::super::net::table;"), ["net"]);
    assert_eq!(names("server/src/hub/mod.rs", "use super::net;"), ["net"]);
    assert_eq!(names("server/src/hub/log.rs", "use super::chunk;"), [""; 0]);
    assert_eq!(names("server/src/hub/log.rs", "use corecast_uring as ring;"), ["corecast_uring"]);
    assert_eq!(names("server/src/hub/log.rs", "// use crate::net;\n\"corecast_uring\""), [""; 0]);
    assert_eq!(
        names("server/src/hub/log.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\nuse crate::net;\n}"),
        [""; 0]
    );
    assert_eq!(
        names("server/src/hub/mod.rs", "mod log;\n#[cfg(test)]\nmod tests;\nuse crate::net;"),
        ["net"]
    );
}
