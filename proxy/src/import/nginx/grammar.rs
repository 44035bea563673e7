//! nginx's grammar: words, quotes, remarks, blocks, and files that include files.

use std::{collections::HashSet, sync::Arc};

use super::super::{
    BYTES_MAX, DEPTH_MAX, Files, Text,
    ledger::{Id, Ledger},
};

/// How deep files may include each other.
const INCLUDES_MAX: usize = 8;
/// Files that only say which ending is which type, or what an application server is told.
const NOT_READ: [&str; 5] =
    ["mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"];

/// A directive: words, and a block if it has one.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) id: Id,
    pub(super) words: Vec<String>,
    pub(super) block: Option<Vec<Self>>,
}

impl Statement {
    /// Its first word.
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its other words.
    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The word at a place after the first.
    pub(super) fn argument(&self, at: usize) -> &str {
        self.arguments().get(at).map_or("", String::as_str)
    }

    /// What stands in its block.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The first directive of this name in its block.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.inner().iter().find(|it| it.name() == name)
    }
}

/// Reads files and what they include.
pub(super) struct Parser<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) files: &'a dyn Files,
    /// Bytes that may still be read.
    bytes: usize,
    /// Files under way, so that none includes itself.
    open: HashSet<String>,
}

/// A text under way.
struct Cursor<'t> {
    file: Arc<str>,
    /// Folder of the file that was named on the command line.
    root: &'t str,
    text: &'t str,
    at: usize,
    line: u32,
}

/// What a text consists of.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

impl<'a> Parser<'a> {
    pub(super) fn new(ledger: &'a mut Ledger, files: &'a dyn Files) -> Self {
        Self { ledger, files, bytes: BYTES_MAX, open: HashSet::new() }
    }

    /// The statements of a file that was named.
    pub(super) fn file(&mut self, text: &Text) -> Result<Vec<Statement>, String> {
        self.bytes = self.bytes.saturating_sub(text.text.len());
        let root = folder(&text.name);
        let mut cursor =
            Cursor { file: Arc::from(text.name.as_str()), root, text: &text.text, at: 0, line: 1 };
        self.open.insert(text.name.clone());
        let all = self.statements(&mut cursor, 0, false)?;
        self.open.remove(&text.name);
        Ok(all)
    }

    fn statements(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        inside: bool,
    ) -> Result<Vec<Statement>, String> {
        if depth > DEPTH_MAX {
            return Err(cursor.wrong(&format!("blocks lie more than {DEPTH_MAX} deep")));
        }
        let mut all = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut line = cursor.line;
        loop {
            let token = cursor.token()?;
            if words.is_empty() {
                line = cursor.line;
            }
            match token {
                Some(Token::Word(word)) => words.push(word),
                Some(Token::End) if words.is_empty() => {}
                Some(Token::End) => {
                    let words = std::mem::take(&mut words);
                    self.statement(cursor, line, words, depth, &mut all)?;
                }
                Some(Token::Open) => {
                    let words = std::mem::take(&mut words);
                    let statement = self.block(cursor, line, words, depth)?;
                    all.push(statement);
                }
                Some(Token::Close) if inside && words.is_empty() => return Ok(all),
                Some(Token::Close) => return Err(cursor.wrong("`}` where none is expected")),
                None if inside => return Err(cursor.wrong("a block has no `}`")),
                None if words.is_empty() => return Ok(all),
                None => return Err(cursor.wrong("the last directive has no `;`")),
            }
        }
    }

    fn statement(
        &mut self,
        cursor: &Cursor<'_>,
        line: u32,
        words: Vec<String>,
        depth: usize,
        all: &mut Vec<Statement>,
    ) -> Result<(), String> {
        let id = self.ledger.enter(&cursor.file, line, &words.join(" "));
        if words.first().is_some_and(|it| it == "include") && words.len() == 2 {
            return self.include(cursor, id, &words[1], depth, all);
        }
        all.push(Statement { id, words, block: None });
        Ok(())
    }

    fn block(
        &mut self,
        cursor: &mut Cursor<'_>,
        line: u32,
        words: Vec<String>,
        depth: usize,
    ) -> Result<Statement, String> {
        if words.is_empty() {
            return Err(cursor.wrong("a block without a name"));
        }
        let id = self.ledger.enter(&cursor.file, line, &words.join(" "));
        let name = words[0].as_str();
        if name.ends_with("_by_lua_block") {
            cursor.skip_block()?;
            return Ok(Statement { id, words, block: Some(Vec::new()) });
        }
        // Rows of a table are part of the directive, not directives.
        let block = if matches!(name, "map" | "split_clients" | "geo" | "types") {
            let rows = Parser::new(&mut Ledger::default(), &Nowhere).statements(
                cursor,
                depth + 1,
                true,
            )?;
            rows.into_iter().map(|row| Statement { id, ..row }).collect()
        } else {
            self.statements(cursor, depth + 1, true)?
        };
        Ok(Statement { id, words, block: Some(block) })
    }

    fn include(
        &mut self,
        cursor: &Cursor<'_>,
        id: Id,
        pattern: &str,
        depth: usize,
        all: &mut Vec<Statement>,
    ) -> Result<(), String> {
        let last = pattern.rsplit('/').next().unwrap_or(pattern);
        if NOT_READ.contains(&last) || pattern.contains("modules-enabled") {
            self.ledger.needless(id);
            return Ok(());
        }
        let paths = self.expand(cursor, pattern);
        if paths.is_empty() && !pattern.contains('*') {
            self.ledger.leave(id, "there is no such file here; import it as well");
            return Ok(());
        }
        self.ledger.carry(id);
        for path in paths {
            if self.open.contains(&path) || self.open.len() > INCLUDES_MAX {
                self.ledger.leave(id, "files include each other too deeply");
                continue;
            }
            let text = match self.files.read(&path) {
                Ok(text) => text,
                Err(why) => {
                    self.ledger.leave(id, format!("{path} cannot be read: {why}"));
                    continue;
                }
            };
            let Some(rest) = self.bytes.checked_sub(text.len()) else {
                return Err(cursor.wrong(&format!("all files together exceed {BYTES_MAX} bytes")));
            };
            self.bytes = rest;
            let file = Arc::from(path.as_str());
            let mut inner = Cursor { file, root: cursor.root, text: &text, at: 0, line: 1 };
            self.open.insert(path.clone());
            all.extend(self.statements(&mut inner, depth + 1, false)?);
            self.open.remove(&path);
        }
        Ok(())
    }

    /// The files that a pattern names: below the first file's folder, as nginx does, else where it says.
    fn expand(&self, cursor: &Cursor<'_>, pattern: &str) -> Vec<String> {
        let inner = pattern.strip_prefix("/etc/nginx/");
        let mut bases = Vec::new();
        if pattern.starts_with('/') {
            bases.push(pattern.to_owned());
        }
        if let Some(relative) = inner.or_else(|| (!pattern.starts_with('/')).then_some(pattern)) {
            bases.push(join(cursor.root, relative));
            bases.push(join(folder(&cursor.file), relative));
        }
        for base in bases {
            let (place, last) = base.rsplit_once('/').unwrap_or((".", &base));
            if !last.contains('*') {
                let found = self.files.list(place).iter().any(|name| name == last);
                if found {
                    return vec![base];
                }
                continue;
            }
            let mut names = self.files.list(place);
            names.retain(|name| fits(last, name));
            names.sort();
            if !names.is_empty() {
                return names.iter().map(|name| join(place, name)).collect();
            }
        }
        Vec::new()
    }
}

/// No files at all.
struct Nowhere;

impl Files for Nowhere {
    fn read(&self, _: &str) -> Result<String, String> {
        Err("no files here".to_owned())
    }

    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

pub(super) fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "." => name.to_owned(),
        folder => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

/// Whether a name fits a pattern with `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last) && !name.starts_with('.')
}

impl Cursor<'_> {
    fn wrong(&self, why: &str) -> String {
        format!("{}:{}: {why}", self.file, self.line)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        if letter == '\n' {
            self.line += 1;
        }
        Some(letter)
    }

    fn token(&mut self) -> Result<Option<Token>, String> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some('#') => while self.next().is_some_and(|letter| letter != '\n') {},
                Some(letter) if letter.is_whitespace() || letter == '\u{feff}' => {
                    self.next();
                }
                Some(_) => break,
            }
        }
        let simple = match self.peek() {
            Some(';') => Some(Token::End),
            Some('{') => Some(Token::Open),
            Some('}') => Some(Token::Close),
            Some(_) | None => None,
        };
        if simple.is_some() {
            self.next();
            return Ok(simple);
        }
        self.word().map(|word| Some(Token::Word(word)))
    }

    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.next();
            loop {
                match self.next() {
                    None => return Err(self.wrong("a quoted text does not end")),
                    Some(letter) if letter == quote => return Ok(word),
                    Some('\\') => match self.next() {
                        Some(letter) if letter == quote || letter == '\\' => word.push(letter),
                        Some(letter) => word.extend(['\\', letter]),
                        None => {}
                    },
                    Some(letter) => word.push(letter),
                }
            }
        }
        while let Some(letter) = self.peek() {
            match letter {
                '\\' => {
                    word.extend(self.next());
                    word.extend(self.next());
                }
                '{' if word.ends_with('$') => {
                    while let Some(letter) = self.next() {
                        word.push(letter);
                        if letter == '}' {
                            break;
                        }
                    }
                }
                ';' | '{' => break,
                letter if letter.is_whitespace() => break,
                _ => word.extend(self.next()),
            }
        }
        Ok(word)
    }

    /// Passes over a block in another language.
    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(_) => {}
                None => return Err(self.wrong("a block has no `}`")),
            }
        }
        Ok(())
    }
}
