//! Lines beside labels, no wider than a terminal, with restrained colours.

/// Columns that a line may take.
const WIDTH: usize = 110;

/// Columns of the labels.
const LABEL: usize = 11;

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Letters alone.
    None,
    /// The labels, the verdict and its weight.
    Terminal,
}

/// How a word stands out.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    Dim,
    Good,
    Careful,
    Bad,
}

/// Rows under labels.
pub(super) struct Sheet {
    colour: Colour,
    pub(super) text: String,
}

impl Sheet {
    pub(super) const fn new(colour: Colour) -> Self {
        Self { colour, text: String::new() }
    }

    /// Lines under a label; one that is too long goes on below, deeper.
    pub(super) fn row(&mut self, label: &str, lines: &[String]) {
        let mut label = label;
        for line in lines {
            self.line(label, line, None);
            label = "";
        }
    }

    /// One line, its first word painted.
    pub(super) fn line(&mut self, label: &str, line: &str, paint: Option<Paint>) {
        for (piece, at) in wrapped(line, WIDTH - LABEL).into_iter().zip(0..) {
            let first = at == 0;
            let label = format!("{:<LABEL$}", if first { label } else { "" });
            let blank = label.trim().is_empty();
            let label = if blank { label } else { self.painted(&label, Paint::Dim) };
            let piece = match paint.filter(|_| first) {
                Some(paint) => {
                    let word = piece.len() - piece.trim_start_matches(|c: char| c.is_alphanumeric()).len();
                    let (word, rest) = piece.split_at_checked(word).unwrap_or((&piece, ""));
                    format!("{}{rest}", self.painted(word, paint))
                }
                None => piece,
            };
            let whole = format!("{label}{piece}");
            self.text.push_str(whole.trim_end());
            self.text.push('\n');
        }
    }

    fn painted(&self, text: &str, paint: Paint) -> String {
        let code = match (self.colour, paint) {
            (Colour::None, _) => return text.to_owned(),
            (Colour::Terminal, Paint::Dim) => "2",
            (Colour::Terminal, Paint::Good) => "32",
            (Colour::Terminal, Paint::Careful) => "33",
            (Colour::Terminal, Paint::Bad) => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// At most `width` columns a line; what goes on stands two deeper.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let Some((limit, _)) = text.char_indices().nth(width) else { return vec![text.to_owned()] };
    let indent = text.chars().take_while(|c| *c == ' ').count() + 2;
    let head = text.get(..limit).unwrap_or(text);
    let blank = head.rfind(' ').filter(|&at| at > indent + 10).unwrap_or(limit);
    let (line, behind) = text.split_at_checked(blank).unwrap_or((text, ""));
    let mut lines = vec![line.to_owned()];
    lines.extend(wrapped(&format!("{:indent$}{}", "", behind.trim_start()), width));
    lines
}
