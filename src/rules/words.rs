//! Words that a rule file may use, and which of them somebody meant.

/// Longer words than this were not meant to be one of ours, and comparing costs the product of both lengths.
const WRITTEN_MAX: usize = 64;

/// Fewer letters begin too many words.
const BEGINNING_MIN: usize = 4;

/// The known word that `written` most likely stands for: at most a third of its letters differ, or it goes on.
pub(super) fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if written.len() > WRITTEN_MAX {
        return None;
    }
    let written = written.to_lowercase();
    let letters = written.chars().count();
    let distance = |word: &str| {
        let distance = strsim::damerau_levenshtein(&written, &word.to_lowercase());
        if letters >= BEGINNING_MIN && word.starts_with(&written) {
            distance.min(letters / 3)
        } else {
            distance
        }
    };
    let (distance, word) =
        known.into_iter().map(|word| (distance(word), word)).min_by_key(|&(distance, _)| distance)?;
    (distance <= letters.max(3) / 3).then_some(word)
}

/// The words as a sentence lists them, each in backquotes.
pub(super) fn list<'w>(known: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<_> = known.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What to do about a word that is none of the known ones.
pub(super) fn suggestion<'w>(written: &str, known: impl IntoIterator<Item = &'w str> + Clone) -> String {
    let all = list(known.clone());
    nearest(written, known).map_or_else(
        || format!("right would be {all}"),
        |word| format!("did you mean `{word}`? right would be {all}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["mp_capable", "mp_join", "dss"];

    #[test]
    fn slips_of_the_pen_are_understood() {
        for (written, meant) in [
            ("mp-capable", "mp_capable"),
            ("MP_JOIN", "mp_join"),
            ("mpjoin", "mp_join"),
            ("dds", "dss"),
            ("mp_cap", "mp_capable"),
        ] {
            assert_eq!(nearest(written, KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn words_of_another_kind_are_not() {
        for written in ["", "x", "window_scale", &"mp_join".repeat(20)] {
            assert_eq!(nearest(written, KNOWN), None, "{written}");
        }
    }
}
