//! What to do about outside files that nothing takes the place of: the command line that would work, for all of them at once.

use floe_rebuild::OUTSIDE;
use floe_records::Refusals;

/// Refusals with the command in the hint of those that are of outside files. `words` are the arguments of this restore, `image`
/// is the file that it reads, where it reads one.
pub fn with_command(refusals: Refusals, words: &[String], image: Option<&str>) -> Refusals {
    let Refusals(mut all) = refusals;
    let outside = all.iter().filter(|finding| finding.rule == OUTSIDE);
    let inherits: Vec<String> = outside.map(|finding| finding.hint.clone()).collect();
    let command = command(&inherits, words, image);
    for finding in all.iter_mut().filter(|finding| finding.rule == OUTSIDE) {
        finding.hint.clone_from(&command);
    }
    Refusals(all)
}

fn command(inherits: &[String], words: &[String], image: Option<&str>) -> String {
    let own = own(words);
    let from = image.map_or(String::new(), |image| format!(" < {}", quoted(image)));
    let opened = inherits.iter().filter_map(|inherit| inherit.split(' ').next_back());
    let opened: Vec<String> = opened.map(|number| format!("{number}<>FILE")).collect();
    let (inherits, opened) = (inherits.join(" "), opened.join(" "));
    format!(
        "run it as: {own} --outside null{from}, or --outside broken, or with files of yours: {own} {inherits} {opened}{from}"
    )
}

/// What was called, without what it said of outside files.
fn own(words: &[String]) -> String {
    let mut line = "restore".to_owned();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--outside" {
            words.next();
        } else if !word.starts_with("--outside=") {
            line = format!("{line} {}", quoted(word));
        }
    }
    line
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::{Finding, Pid};

    #[test]
    fn the_command_has_all_of_them() {
        let of = |fd, rule| Finding::of(Pid(1), format!("fd {fd}"), rule, "it is outside");
        let file = |fd| of(fd, OUTSIDE).hint(format!("--inherit {fd}"));
        let other = of(5, "other").hint("call the plumber");
        let all = Refusals(vec![file(3), other.clone(), file(7)]);
        let words = ["--detach", "--outside", "refuse", "--root", "/my root"].map(str::to_owned);
        let Refusals(read) = with_command(Refusals(vec![file(3)]), &[], Some("/my image"));
        let command = "run it as: restore --outside null < '/my image', or --outside broken, or with files of yours: \
             restore --inherit 3 3<>FILE < '/my image'";
        assert_eq!(read[0].hint, command);
        let Refusals(all) = with_command(all, &words, None);
        let command = "run it as: restore --detach --root '/my root' --outside null, or --outside broken, or with files of \
             yours: restore --detach --root '/my root' --inherit 3 --inherit 7 3<>FILE 7<>FILE";
        assert_eq!(
            (all[0].hint.as_str(), &all[1], all[2].hint.as_str()),
            (command, &other, command)
        );
    }
}
