//! Which code this is.

use std::process::Command;

/// The revision of the code in the current folder, with `+` behind it if something was changed since: `unknown` where that
/// is not known.
pub fn here() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_string())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).filter(|revision| !revision.is_empty());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    let mark = if changed { "+" } else { "" };
    revision.map_or("unknown".into(), |revision| format!("{revision}{mark}"))
}
