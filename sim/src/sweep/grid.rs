//! The settings that are compared: the default, and what is around it.

use kernel::cluster::liveness::LivenessSettings;

/// One row: its name, and its settings.
pub type Row = (String, LivenessSettings);

/// The default, first.
pub fn default() -> Row {
    ("default".into(), LivenessSettings::default())
}

/// The default, then probes and silences in all combinations, then one thing at a time.
pub fn around_the_default() -> Vec<Row> {
    let mut rows = vec![default()];
    let base = LivenessSettings::default();
    for probe_ms in [150, 200, 300] {
        for silence_ms in [650, 750, 850, 950] {
            let settings = LivenessSettings {
                probe_ms,
                silence_ms,
                ..base.clone()
            };
            if settings != base {
                rows.push((format!("probe {probe_ms}, silence {silence_ms}"), settings));
            }
        }
    }
    let mut one = |name: &str, change: fn(&mut LivenessSettings)| {
        let mut settings = base.clone();
        change(&mut settings);
        rows.push((name.into(), settings));
    };
    one("doubt 350", |settings| settings.doubt_ms = 350);
    one("doubt 550", |settings| settings.doubt_ms = 550);
    one("indirect 0", |settings| settings.indirect = 0);
    one("indirect 1", |settings| settings.indirect = 1);
    one("confirmations 0", |settings| settings.confirmations = 0);
    one("confirmations 1", |settings| settings.confirmations = 1);
    one("suspicion 200 to 1200", |settings| settings.suspicion_min_ms = 200);
    one("phi 8", |settings| settings.phi = 8);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_there_once_and_first() {
        let rows = around_the_default();
        assert_eq!(
            rows.iter().filter(|row| row.1 == LivenessSettings::default()).count(),
            1
        );
        assert_eq!(rows[0], default());
    }
}
