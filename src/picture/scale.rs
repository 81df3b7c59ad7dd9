//! Values to places, ticks at round numbers, and numbers as people write them.

/// What an axis measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What it is, such as "data sequence number"; the unit is added.
    pub label: String,
    /// In what.
    pub unit: Unit,
}

/// The base unit of the values that are handed over; the picture chooses the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// B, kB, MB, …
    Bytes,
    /// B, KiB, MiB, …
    BinaryBytes,
    /// bit/s, kbit/s, Mbit/s, …
    BitsPerSecond,
    /// ns, µs, ms, s
    Seconds,
    /// Things, millions of them, billions, …
    Count,
    /// A unit by its name, without prefixes.
    Other(String),
}

/// A whole number as a value to draw: exact to 2^53, and beyond it to 16 digits, which no picture shows.
pub fn amount(whole: u64) -> f64 {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).map_or(0.0, f64::from);
    half(whole >> 32) * 4_294_967_296.0 + half(whole)
}

/// Beyond this values are drawn at the edge, so that no sum or difference of them overflows.
const VALUE_MAX: f64 = 1e100;

/// From here on digits would not fit beside an axis.
const PLAIN_MAX: f64 = 1e7;

const DIGITS_MAX: usize = 9;

const BYTES: &[(f64, &str)] =
    &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"), (1e15, "PB"), (1e18, "EB")];
const BINARY_BYTES: &[(f64, &str)] = &[
    (1.0, "B"),
    (1024.0, "KiB"),
    (1_048_576.0, "MiB"),
    (1_073_741_824.0, "GiB"),
    (1_099_511_627_776.0, "TiB"),
    (1_125_899_906_842_624.0, "PiB"),
    (1_152_921_504_606_846_976.0, "EiB"),
];
const BITS_PER_SECOND: &[(f64, &str)] =
    &[(1.0, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s"), (1e12, "Tbit/s")];
const SECONDS: &[(f64, &str)] = &[(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")];
const COUNT: &[(f64, &str)] = &[(1.0, ""), (1e6, "millions"), (1e9, "billions"), (1e12, "trillions")];

impl Unit {
    /// Factor and name of the prefix with which a value has one to three digits before the point.
    fn prefix(&self, value: f64) -> (f64, &str) {
        let table = match self {
            Self::Bytes => BYTES,
            Self::BinaryBytes => BINARY_BYTES,
            Self::BitsPerSecond => BITS_PER_SECOND,
            Self::Seconds => SECONDS,
            Self::Count => COUNT,
            Self::Other(name) => return (1.0, name),
        };
        let base = (1.0, table.iter().find(|(factor, _)| *factor == 1.0).map_or("", |(_, name)| name));
        if value == 0.0 {
            return base;
        }
        let reached = table.iter().rev().find(|(factor, _)| value.abs() >= *factor * 0.999_999);
        reached.or(table.first()).copied().unwrap_or(base)
    }

    /// A single value with three digits that count, such as `3.12 µs`.
    pub(super) fn value(&self, value: f64) -> String {
        let (factor, name) = self.prefix(value);
        let shown = value / factor;
        let digits = match shown.abs() {
            whole if whole.fract() == 0.0 => 0,
            100.0.. => 0,
            10.0.. => 1,
            1.0.. => 2,
            _ => 4,
        };
        format!("{} {name}", number(shown, digits)).trim_end().to_owned()
    }
}

impl Axis {
    /// What is measured, and in what, when values reach from `low` to `high`.
    pub(super) fn heading(&self, (low, high): (f64, f64)) -> String {
        let (low, high) = (finite(low).unwrap_or(0.0), finite(high).unwrap_or(0.0));
        match (self.label.as_str(), self.unit.prefix(low.abs().max(high.abs()))) {
            (label, (_, "")) => label.to_owned(),
            ("", (_, name)) => name.to_owned(),
            (label, (_, name)) => format!("{label} ({name})"),
        }
    }
}

/// From values to places, by a straight line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// What lies outside of the values is drawn at the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }
}

/// A scale with what is written beside it.
#[derive(Clone, Debug)]
pub(super) struct Ruler {
    pub(super) scale: Scale,
    /// Place and text.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Where on the picture an axis lies, and about how many ticks it has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) ticks: f64,
}

/// How the ends of an axis are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// The values' own.
    Tight,
    /// The next ticks beyond.
    Round,
}

impl Ruler {
    /// An axis from `low` to `high`; where these are the same, or the wrong way round, it is widened.
    pub(super) fn new(unit: &Unit, (low, high): (f64, f64), ends: Ends, place: Place) -> Self {
        let (low, high) = (finite(low).unwrap_or(0.0), finite(high).unwrap_or(0.0));
        let (factor, _) = unit.prefix(low.abs().max(high.abs()));
        let (low, high) = widened(low / factor, high / factor);
        let step = step((high - low) / place.ticks);
        let (low, high) = match ends {
            Ends::Tight => (low, high),
            Ends::Round => ((low / step).floor() * step, (high / step).ceil() * step),
        };
        let digits = digits(step);
        let scale = Scale { low: low * factor, high: high * factor, start: place.start, end: place.end };
        let first = (low / step - 1e-6).ceil();
        let last = (high / step + 1e-6).floor();
        let ticks = std::iter::successors(Some(first), |at| Some(at + 1.0))
            .take_while(|at| *at <= last)
            // Where steps are too small for the number, adding one changes nothing.
            .take(64)
            .map(|at| (scale.at(at * step * factor), number(at * step, digits)))
            .collect();
        Self { scale, ticks }
    }
}

fn widened(low: f64, high: f64) -> (f64, f64) {
    let smallest = low.abs().max(high.abs()) * 1e-9;
    if high - low > smallest {
        (low, high)
    } else if low == 0.0 {
        (0.0, 1.0)
    } else {
        (low - low.abs() * 0.1, low + low.abs() * 0.1)
    }
}

/// The next of 1, 2, 5, 10, 20, …
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// How many digits behind the point tell multiples of a step apart.
fn digits(step: f64) -> usize {
    let mut scaled = step;
    let mut digits = 0;
    while digits < DIGITS_MAX && (scaled - scaled.round()).abs() > 1e-6 * scaled.abs() {
        scaled *= 10.0;
        digits += 1;
    }
    digits
}

fn number(value: f64, digits: usize) -> String {
    if value.abs() >= PLAIN_MAX {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.digits$}");
    if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) {
        return "0".to_owned();
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("-", text));
    let whole = text.find('.').unwrap_or(text.len());
    text.chars().enumerate().fold(sign.to_owned(), |mut grouped, (at, c)| {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(c);
        grouped
    })
}

/// The value as it can be drawn.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(-VALUE_MAX, VALUE_MAX))
}

/// Least and greatest of the values that can be drawn.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter_map(finite).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}
