//! The boxes that there were against those that the probe named.

use std::fmt;

use comfy_table::{ColumnConstraint, Table, presets};

use crate::lab::boxes::catalogue::{KINDS, Kind, Means};
use crate::lab::boxes::probed::{Placed, Probed};
use crate::lab::boxes::report::Row;

/// Of all eleven boxes the probe may fail to name, or to place, one.
const MISSED_MAX: usize = 1;
const ALL: usize = 11;

/// A confusion matrix: a row for each box that stood there, a column for each that could be named.
pub(super) struct Matrix<'r>(&'r [Row]);

impl<'r> Matrix<'r> {
    /// Of the rows that were probed; `None` where none was.
    pub(super) fn of(rows: &'r [Row]) -> Option<Self> {
        rows.iter().any(|row| row.probe.is_some()).then_some(Self(rows))
    }

    /// How many boxes beside mpgate were named at their hop, and how many there were.
    pub(super) fn score(&self) -> (usize, usize) {
        let right = |probe: &&Probed| probe.named && matches!(probe.placed, None | Some(Placed::Right));
        (self.boxes().filter(right).count(), self.boxes().count())
    }

    /// Whether it knows the boxes, and blames nobody who does no harm. Of a choice of boxes each must be named, and none
    /// put where it is not.
    pub(super) fn passed(&self) -> bool {
        let (right, all) = self.score();
        let known = if all >= ALL {
            all - right <= MISSED_MAX
        } else {
            self.boxes().all(|probe| probe.named && probe.placed != Some(Placed::Wrong))
        };
        known && self.0.iter().all(|row| !row.is_blamed_wrongly())
    }

    fn boxes(&self) -> impl Iterator<Item = &Probed> {
        self.0.iter().filter(|row| !row.kind.is_gate()).filter_map(|row| row.probe.as_ref())
    }
}

/// Those that the probe can name: all but mpgate.
fn names() -> impl Iterator<Item = (usize, &'static Kind)> {
    (1..).zip(KINDS.iter().filter(|kind| !kind.is_gate()))
}

impl fmt::Display for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let mut header = vec!["box there was".to_owned()];
        header.extend(names().map(|(number, _)| number.to_string()));
        header.extend(["else", "hop"].map(str::to_owned));
        table.set_header(header);
        table.column_iter_mut().for_each(|column| {
            column.set_constraint(ColumnConstraint::ContentWidth);
        });
        for row in self.0 {
            let Some(probe) = &row.probe else { continue };
            let number = names().find(|(_, kind)| kind.name == row.kind.name).map(|(number, _)| number);
            let mut cells = vec![
                number.map_or(row.kind.name.to_owned(), |number| format!("{number:2} {}", row.kind.name)),
            ];
            let healthy = probe.findings.is_empty() && probe.failed.is_none();
            let found = |kind: &Kind| {
                let named = probe.findings.iter().any(|finding| finding.name == kind.name);
                named || (healthy && matches!(kind.means, Means::Forward))
            };
            cells.extend(names().map(|(_, kind)| if found(kind) { "X" } else { "" }.to_owned()));
            let others =
                probe.findings.iter().filter(|found| names().all(|(_, kind)| kind.name != found.name));
            let others = others.count() + usize::from(probe.failed.is_some());
            cells.push(if others > 0 { "X".to_owned() } else { String::new() });
            cells.push(probe.placed.map_or("", Placed::word).to_owned());
            table.add_row(cells);
        }
        writeln!(f, "{table}")?;
        let (right, all) = self.score();
        write!(f, "mpgate probe names {right} of {all} boxes, each at its hop")
    }
}

impl Placed {
    const fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Unknown => "unknown",
            Self::Wrong => "WRONG",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::boxes::measure::{Connects, Counts, Measured, Outcome, Transfer};
    use crate::lab::boxes::probed::Finding;
    use crate::lab::boxes::report::Said;

    /// A row of `kind` of which the probe said `name`.
    fn row(kind: &'static Kind, name: Option<&str>, placed: Placed) -> Row {
        let finding = |name: &str| Finding { name: name.to_owned(), after_hop: None, by_hop: None };
        let named = name == kind.known_as();
        let (placed, findings) = (name.map(|_| placed), name.map(finding).into_iter().collect());
        let probe = Some(Probed { findings, packets: 9, millis: 9, failed: None, named, placed });
        let measured = Measured {
            connects: Connects::default(),
            outcome: Outcome::Whole,
            transfer: Transfer::default(),
            mptcp: Counts::default(),
        };
        Row::new(kind, measured, Said { gate: None, probe }, Vec::new())
    }

    fn right() -> Vec<Row> {
        names().map(|(_, kind)| row(kind, kind.known_as(), Placed::Right)).collect()
    }

    fn judged(rows: &[Row]) -> ((usize, usize), bool) {
        let matrix = Matrix::of(rows).unwrap();
        (matrix.score(), matrix.passed())
    }

    #[test]
    fn of_eleven_boxes_one_may_be_missed() {
        let mut rows = right();
        assert_eq!(judged(&rows), ((11, 11), true));
        rows[3] = row(&KINDS[3], KINDS[3].known_as(), Placed::Wrong);
        assert_eq!(judged(&rows), ((10, 11), true));
        rows[4] = row(&KINDS[4], Some("strips-all"), Placed::Right);
        assert_eq!(judged(&rows), ((9, 11), false));
    }

    #[test]
    fn of_a_few_each_must_be_named_and_none_put_elsewhere() {
        let one = |name, placed| judged(&[row(&KINDS[8], name, placed)]);
        assert_eq!(one(Some("mirrors"), Placed::Right), ((1, 1), true));
        assert_eq!(one(Some("mirrors"), Placed::Unknown), ((0, 1), true));
        assert_eq!(one(Some("mirrors"), Placed::Wrong), ((0, 1), false));
        assert_eq!(one(Some("strips-syn-ack"), Placed::Right), ((0, 1), false));
        assert_eq!(one(None, Placed::Right), ((0, 1), false));
    }

    #[test]
    fn who_harms_nothing_is_never_blamed() {
        let mut rows = right();
        rows[0] = row(&KINDS[0], Some("strips-all"), Placed::Right);
        assert_eq!(judged(&rows), ((10, 11), false));
        let gate = KINDS.iter().find(|kind| kind.name == "mpgate-default").unwrap();
        let mut rows = right();
        rows.push(row(gate, None, Placed::Right));
        assert_eq!(judged(&rows), ((11, 11), true));
        rows.push(row(gate, Some("drops-joins"), Placed::Right));
        assert_eq!(judged(&rows), ((11, 11), false));
    }

    #[test]
    fn what_was_named_is_marked_in_its_column() {
        let rows = [
            row(&KINDS[1], Some("resets-syn"), Placed::Wrong),
            row(&KINDS[1], Some("sharks"), Placed::Right),
        ];
        let table = Matrix::of(&rows).unwrap().to_string();
        let columns =
            |line: &str| line.split(['┆', '│']).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let marked: Vec<_> = table.lines().filter(|line| line.contains("drops-syn")).map(columns).collect();
        let wrong = ["2 drops-syn", "", "", "X", "", "", "", "", "", "", "", "", "", "WRONG"];
        assert_eq!(marked[0][1..15], wrong);
        let other = ["2 drops-syn", "", "", "", "", "", "", "", "", "", "", "", "X", "right"];
        assert_eq!(marked[1][1..15], other);
    }
}
