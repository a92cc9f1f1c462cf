//! Markdown to the man(7) macros. A table becomes a list of its first column with the others indented below; a link
//! becomes its text, because other pages are named as commands.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// The page; `name` is that of the command.
pub fn page(name: &str, version: &str, text: &str) -> String {
    let mut page = Page::default();
    page.roff.control("TH", [&name.to_uppercase(), "1", " ", &format!("floe {version}"), "floe"]);
    page.name = name.to_owned();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        page.event(event);
    }
    page.roff.render()
}

/// The page as far as it is written.
#[derive(Default)]
struct Page {
    roff: Roff,
    name: String,
    /// Words that wait for the end of their paragraph, heading or cell.
    line: Vec<Inline>,
    is_title: bool,
    /// The paragraph behind the title completes the section NAME.
    is_summary: bool,
    /// What comes next is how the tool is called, or already the description.
    is_synopsis: bool,
    strong: bool,
    emphasis: bool,
    code: Option<String>,
    cells: Vec<Vec<Inline>>,
    head: bool,
    /// Numbers of the lists around us; 0 for one with bullets.
    lists: Vec<u64>,
    /// The next paragraph is the first of its list item.
    item: bool,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => self.line.push(bold(text.into_string())),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.is_title = level == HeadingLevel::H1,
            Tag::Strong => self.strong = true,
            Tag::Emphasis => self.emphasis = true,
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.flush();
                self.code = Some(String::new());
            }
            Tag::TableHead => self.head = true,
            Tag::List(first) => {
                self.flush();
                self.lists.push(first.unwrap_or(0));
            }
            Tag::Item => self.start_item(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::Strong => self.strong = false,
            TagEnd::Emphasis => self.emphasis = false,
            TagEnd::CodeBlock => self.code_block(),
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => {
                self.head = false;
                self.cells.clear();
            }
            TagEnd::TableRow => self.row(),
            TagEnd::List(_) => drop(self.lists.pop()),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.push_str(text);
        } else if self.strong {
            self.line.push(bold(text));
        } else if self.emphasis {
            self.line.push(italic(text));
        } else {
            self.line.push(roman(text));
        }
    }

    fn heading(&mut self, level: HeadingLevel) {
        let words = plain(&std::mem::take(&mut self.line));
        if std::mem::take(&mut self.is_title) {
            self.roff.control("SH", ["NAME"]);
            self.is_summary = true;
        } else if level <= HeadingLevel::H2 {
            self.roff.control("SH", [words.to_uppercase().as_str()]);
        } else {
            self.roff.control("SS", [words.as_str()]);
        }
    }

    /// A paragraph, if one waits.
    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if std::mem::take(&mut self.is_summary) {
            let summary = format!("{} \\- {}", self.name, plain(&line).trim_end_matches('.'));
            self.roff.text([roman(summary.replace("\\-", "-"))]);
            self.is_synopsis = true;
            return;
        }
        self.describe();
        if !std::mem::take(&mut self.item) {
            self.roff.control(if self.lists.is_empty() { "PP" } else { "IP" }, []);
        }
        self.roff.text(line);
    }

    fn start_item(&mut self) {
        self.flush();
        let mark = match self.lists.last_mut() {
            Some(number) if *number > 0 => {
                *number += 1;
                format!("{}.", *number - 1)
            }
            _ => "\u{2022}".to_owned(),
        };
        self.roff.control("IP", [mark.as_str(), "4"]);
        self.item = true;
    }

    fn code_block(&mut self) {
        let Some(code) = self.code.take() else { return };
        if self.is_synopsis {
            self.roff.control("SH", ["SYNOPSIS"]);
        }
        self.roff.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in code.lines() {
            self.roff.text([roman(line)]);
        }
        self.roff.control("fi", []).control("RE", []);
        self.describe();
    }

    /// Behind the synopsis the description begins.
    fn describe(&mut self) {
        if std::mem::take(&mut self.is_synopsis) {
            self.roff.control("SH", ["DESCRIPTION"]);
        }
    }

    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter();
        let Some(term) = cells.next() else { return };
        self.roff.control("TP", []).text(term);
        let mut rest: Vec<Inline> = Vec::new();
        for cell in cells.filter(|cell| !cell.is_empty()) {
            if !rest.is_empty() {
                rest.push(roman("; "));
            }
            rest.extend(cell);
        }
        self.roff.text(rest);
    }
}

/// Without fonts.
fn plain(line: &[Inline]) -> String {
    let text = |part: &Inline| match part {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.clone(),
        Inline::LineBreak => " ".to_owned(),
    };
    line.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_page_arrives() {
        let text = "# tool\n\nDoes *it* well.\n\n    tool FILE\n\nSee [that](that.md), `--now`.\n\n## Options\n\n\
            | option | meaning |\n|---|---|\n| `--a` | first | \n\n1. one\n2. two\n";
        let page = page("tool", "1.2", text);
        for line in [
            ".TH TOOL 1 \" \" \"floe 1.2\" floe",
            ".SH SYNOPSIS",
            "tool \\- Does it well",
            "tool FILE",
            "See that, \\fB\\-\\-now\\fR.",
            ".SH OPTIONS",
            "\\fB\\-\\-a\\fR",
            "first",
            ".IP 2. 4",
            "two",
        ] {
            assert!(page.lines().any(|own| own == line), "{line:?} in\n{page}");
        }
        assert!(!page.contains("meaning"), "the head of a table says nothing");
    }

    #[test]
    fn what_looks_like_a_macro_is_text() {
        let page = page("tool", "1", "# tool\n\nIt.\n\n    .br\n    'x\n");
        assert!(!page.lines().any(|line| line == ".br" || line.starts_with("'x")), "{page}");
    }
}
