//! Colours that people who see colours differently can tell apart, and what else tells series apart when they run out.

/// What a colour stands for. Series that are the same thing in two panels bear the same number in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// One of several equals. From the ninth on colours return, with hatching, dashes or a hollow line.
    Series(usize),
    /// What is amiss.
    Alarm,
    /// What is pointed out, on top of series.
    Ink,
    /// What is beside the point.
    Muted,
}

/// Okabe and Ito's, without those too pale on white or too near to [`Colour::Alarm`]; wine, olive and indigo are Paul
/// Tol's ("muted").
const SERIES: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#882255", "#999933", "#332288"];

pub(super) const INK: &str = "#1a1d21";
pub(super) const QUIET: &str = "#565d66";
pub(super) const GRID: &str = "#e4e7eb";
pub(super) const FRAME: &str = "#9aa1a9";

impl Colour {
    /// As SVG writes it.
    pub(super) fn hex(self) -> &'static str {
        match self {
            Self::Series(number) => SERIES.get(number % SERIES.len()).copied().unwrap_or(INK),
            Self::Alarm => "#d00000",
            Self::Ink => INK,
            Self::Muted => "#7b838c",
        }
    }

    /// How often the colours were used up before.
    pub(super) fn round(self) -> usize {
        match self {
            Self::Series(number) => number / SERIES.len(),
            Self::Alarm | Self::Ink | Self::Muted => 0,
        }
    }

    /// For lines; empty is unbroken.
    pub(super) fn dashes(self) -> &'static str {
        match self.round() {
            0 => "",
            1 => "7 3",
            _ => "2 3",
        }
    }

    /// The colour of a thin core inside of what is drawn, or of its hatching.
    pub(super) fn core(self) -> Option<&'static str> {
        match self.round() {
            0 => None,
            1 => Some("#ffffff"),
            _ => Some(INK),
        }
    }
}
