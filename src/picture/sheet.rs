//! The sheet that is drawn on: text, lines and shapes as SVG, from top to bottom.

use svg::Document;
use svg::node::element::{Definitions, Description, Group, Line, Path, Pattern, Rectangle, Text, Title};

use super::font;
use super::palette::{Colour, FRAME, INK, QUIET};

pub(super) const WIDTH: f64 = 1200.0;
pub(super) const MARGIN: f64 = 24.0;
/// Of plots: numbers of seven digits have room to the left, half a number to the right.
pub(super) const LEFT: f64 = 80.0;
pub(super) const RIGHT: f64 = WIDTH - 36.0;

/// Of text, in units of the picture.
pub(super) const SMALL: f64 = 12.5;

/// What is drawn, and how far down the sheet is used.
pub(super) struct Sheet {
    title: String,
    subtitle: String,
    definitions: Definitions,
    patterns: Vec<usize>,
    body: Group,
    /// Here goes what comes next.
    pub(super) y: f64,
}

/// Which point of a text is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where and how a text stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) colour: &'static str,
    pub(super) anchor: Anchor,
}

impl Type {
    pub(super) const SMALL: Self = Self { size: SMALL, colour: INK, anchor: Anchor::Start };
    pub(super) const QUIET: Self = Self { size: SMALL, colour: QUIET, anchor: Anchor::Start };
    const TITLE: Self = Self { size: 22.0, colour: INK, anchor: Anchor::Start };
    const SUBTITLE: Self = Self { size: 14.0, colour: QUIET, anchor: Anchor::Start };
    const PANEL: Self = Self { size: 16.0, colour: INK, anchor: Anchor::Start };

    /// From one line to the next.
    pub(super) fn leading(self) -> f64 {
        (self.size * 1.45).ceil()
    }
}

impl Sheet {
    pub(super) fn new(title: &str, subtitle: &str) -> Self {
        let mut sheet = Self {
            title: printable(title),
            subtitle: printable(subtitle),
            definitions: Definitions::new(),
            patterns: Vec::new(),
            body: Group::new(),
            y: MARGIN,
        };
        sheet.paragraph(Type::TITLE, title);
        sheet.paragraph(Type::SUBTITLE, subtitle);
        sheet
    }

    pub(super) fn panel_title(&mut self, title: &str) {
        self.y += 22.0;
        self.paragraph(Type::PANEL, title);
        self.y += 4.0;
    }

    /// Text over the whole width, in as many lines as it needs.
    pub(super) fn paragraph(&mut self, style: Type, text: &str) {
        for line in font::wrap(&printable(text), style.size, WIDTH - 2.0 * MARGIN) {
            self.text((MARGIN, self.y + style.size), style, &line);
            self.y += style.leading();
        }
    }

    /// One line; `y` is where its letters stand.
    pub(super) fn text(&mut self, (x, y): (f64, f64), style: Type, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = Text::new(printable(text))
            .set("x", short(x))
            .set("y", short(y))
            .set("font-size", style.size)
            .set("fill", style.colour)
            .set("text-anchor", anchor);
        self.add(text);
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
        self.add(rule((x1, y1), (x2, y2), colour));
    }

    pub(super) fn dashed(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.add(rule(from, to, colour).set("stroke-dasharray", "4 3"));
    }

    pub(super) fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        let rectangle = Rectangle::new()
            .set("x", short(x))
            .set("y", short(y))
            .set("width", short(width.max(0.0)))
            .set("height", short(height.max(0.0)))
            .set("fill", fill);
        self.add(rectangle);
    }

    /// A see-through rectangle, through which grid and data stay legible.
    pub(super) fn shade(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: Colour) {
        let rectangle = Rectangle::new()
            .set("x", short(x))
            .set("y", short(y))
            .set("width", short(width.max(0.0)))
            .set("height", short(height.max(0.0)))
            .set("fill", colour.hex())
            .set("fill-opacity", 0.16);
        self.add(rectangle);
    }

    /// A closed outline, filled; hatched where its colour was used before.
    pub(super) fn area(&mut self, outline: String, colour: Colour) {
        let fill = self.fill(colour);
        self.add(Path::new().set("d", outline).set("fill", fill));
    }

    /// Lines of this width, none filled.
    pub(super) fn stroke(&mut self, path: String, width: f64, colour: Colour) {
        let stroke = |path: String, width: f64, colour: &str| {
            Path::new()
                .set("d", path)
                .set("fill", "none")
                .set("stroke", colour)
                .set("stroke-width", short(width))
                .set("stroke-linecap", "round")
                .set("stroke-linejoin", "round")
        };
        let core = colour.core().map(|core| stroke(path.clone(), width * 0.4, core));
        let width = if core.is_some() { width * 1.3 } else { width };
        self.add(stroke(path, width, colour.hex()));
        if let Some(core) = core {
            self.add(core);
        }
    }

    /// A line that is dashed where its colour was used before.
    pub(super) fn curve(&mut self, path: String, colour: Colour) {
        let curve = Path::new()
            .set("d", path)
            .set("fill", "none")
            .set("stroke", colour.hex())
            .set("stroke-width", 1.5)
            .set("stroke-linejoin", "round");
        let dashes = colour.dashes();
        self.add(if dashes.is_empty() { curve } else { curve.set("stroke-dasharray", dashes) });
    }

    /// The frame of a plot: its left and lower edge.
    pub(super) fn frame(&mut self, top: f64, bottom: f64) {
        self.line((LEFT, top), (LEFT, bottom), FRAME);
        self.line((LEFT, bottom), (RIGHT, bottom), FRAME);
    }

    fn fill(&mut self, colour: Colour) -> String {
        let (Colour::Series(number), Some(core)) = (colour, colour.core()) else {
            return colour.hex().to_owned();
        };
        let name = format!("hatch{number}");
        if !self.patterns.contains(&number) {
            self.patterns.push(number);
            let turn = if colour.round() % 2 == 1 { "rotate(45)" } else { "rotate(-45)" };
            let pattern = Pattern::new()
                .set("id", name.clone())
                .set("width", 6)
                .set("height", 6)
                .set("patternUnits", "userSpaceOnUse")
                .set("patternTransform", turn)
                .add(Rectangle::new().set("width", 6).set("height", 6).set("fill", colour.hex()))
                .add(Rectangle::new().set("width", 2).set("height", 6).set("fill", core));
            self.definitions = std::mem::take(&mut self.definitions).add(pattern);
        }
        format!("url(#{name})")
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.body, node);
    }

    /// The whole document.
    pub(super) fn finish(self) -> String {
        let height = (self.y + MARGIN).ceil();
        let background = Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#ffffff");
        Document::new()
            .set("width", WIDTH)
            .set("height", height)
            .set("viewBox", format!("0 0 {WIDTH} {height}"))
            .set("role", "img")
            .set("font-family", font::FAMILIES)
            .add(Title::new(self.title))
            .add(Description::new().add(svg::node::Text::new(self.subtitle)))
            .add(self.definitions)
            .add(background)
            .add(self.body)
            .to_string()
    }
}

fn rule((x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) -> Line {
    Line::new()
        .set("x1", short(x1))
        .set("y1", short(y1))
        .set("x2", short(x2))
        .set("y2", short(y2))
        .set("stroke", colour)
        .set("stroke-width", 1)
}

/// To a tenth of a unit, which is a fifth of a pixel; files stay small.
pub(super) fn short(place: f64) -> String {
    let text = format!("{place:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// XML 1.0 has no words for control characters.
fn printable(text: &str) -> String {
    let printable = |c: char| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(printable).collect()
}
