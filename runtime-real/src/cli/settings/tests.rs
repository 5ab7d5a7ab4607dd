use super::*;

fn resolve(flags: &[(&str, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Result<Settings, SettingError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    let args = SettingArgs {
        given: flags
            .iter()
            .map(|(name, value)| {
                let at = TABLE.iter().position(|setting| setting.name == *name).unwrap();
                (at, vec![(*value).to_owned()])
            })
            .collect(),
        file: file.map(|text| {
            std::fs::write(&path, text).unwrap();
            path.clone()
        }),
    };
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::resolve(&args, variables, &["ORRERY_TOKEN".to_owned()])
}

fn row(settings: &Settings, name: &str) -> (String, String) {
    let rows = settings.show();
    let row = rows.iter().find(|row| row.name == name).unwrap();
    let source = row.source.to_string();
    (row.values.join(","), source.split(' ').next().unwrap().to_owned())
}

fn words(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let file = Some("log = \"json\"\nmax-batch = 7\nsilence = \"20s\"\njoin = [\"a:1\", \"b:2\"]\n");
    let variables = [
        ("ORRERY_LOG", "json"),
        ("ORRERY_SILENCE", "30s"),
        ("HOME", "/"),
        ("ORRERY_TOKEN", "x"),
    ];
    let settings = resolve(&[("log", "text")], &variables, file).unwrap();
    assert_eq!(row(&settings, "log"), words("text", "flag"));
    assert_eq!(row(&settings, "silence"), words("30s", "env"));
    assert_eq!(row(&settings, "max-batch"), words("7", "file"));
    assert_eq!(row(&settings, "join"), words("a:1,b:2", "file"));
    assert_eq!(row(&settings, "max-value"), words("16MiB", "default"));
    assert_eq!(
        (settings.config.limits.silence_ms, settings.config.limits.batch_ops),
        (30_000, 7)
    );
}

#[test]
fn what_is_misspelt_names_what_was_meant_and_where_it_stands() {
    let error = resolve(&[], &[], Some("\n\nlisten-adr = \"x\"\n")).unwrap_err();
    assert!(error.to_string().contains("node.toml:3"), "{error}");
    let error = resolve(&[], &[], Some("max_frame = 1")).unwrap_err();
    assert_eq!(
        (error.code(), &error.hint()[..]),
        ("unknown_setting", "did you mean max-frame?")
    );
    let error = resolve(&[], &[("ORRERY_LISTN", "hush hush")], None).unwrap_err();
    assert_eq!(error.hint(), "did you mean ORRERY_LISTEN?");
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn a_bad_value_is_told_with_its_name_its_place_and_what_was_expected() {
    let file = resolve(&[], &[], Some("# sizes\nmax-frame = \"17MB\"\n"))
        .unwrap_err()
        .to_string();
    for part in ["max-frame", "17MB", "node.toml:2", "16MiB"] {
        assert!(file.contains(part), "{file}");
    }
    let variable = resolve(&[], &[("ORRERY_HEARTBEAT", "5")], None)
        .unwrap_err()
        .to_string();
    assert!(
        variable.contains("env ORRERY_HEARTBEAT") && variable.contains("250ms"),
        "{variable}"
    );
    let flag = resolve(&[("listen", "nowhere")], &[], None).unwrap_err().to_string();
    assert!(flag.contains("flag --listen") && flag.contains("nowhere"), "{flag}");
    assert_eq!(resolve(&[], &[], Some("a = [")).unwrap_err().code(), "settings_toml");
    assert_eq!(
        resolve(&[], &[], Some("log = [\"json\"]")).unwrap_err().code(),
        "bad_setting"
    );
    for (name, value) in [
        ("max-value", "17MiB"),
        ("heartbeat", "5s"),
        ("max-unauthenticated-frame", "1GiB"),
    ] {
        let error = resolve(&[(name, value)], &[], None).unwrap_err();
        assert_eq!(error.code(), "settings_conflict", "{error}");
    }
}

#[test]
fn what_maps_route_by_is_shown_as_it_was_given() {
    let file = Some("partition-by = [\"orders=tenantId/\", \"carts=:\"]\n");
    let settings = resolve(&[], &[], file).unwrap();
    assert_eq!(
        row(&settings, "partition-by"),
        words("orders=tenantId/,carts=:", "file")
    );
    let bad = resolve(&[("partition-by", "orders=tenantId")], &[], None)
        .unwrap_err()
        .to_string();
    assert!(bad.contains("orders=tenantId/"), "an example: {bad}");
}

#[test]
fn the_files_of_mutual_tls_go_together_and_what_is_missing_is_named() {
    let all = ["cluster-cert-file", "cluster-key-file", "cluster-ca-file"];
    let given = |names: &[&'static str]| names.iter().map(|name| (*name, "/f")).collect::<Vec<_>>();
    for missing in all {
        let others: Vec<_> = all.into_iter().filter(|name| *name != missing).collect();
        let error = resolve(&given(&others), &[], None).unwrap_err();
        assert_eq!(error.code(), "settings_conflict");
        let said = format!("flag --{}): it needs {missing}", others[0]);
        assert!(error.to_string().contains(&said), "{error}");
        assert!(resolve(&given(&[missing]), &[], None).is_err());
    }
    let variables = [("ORRERY_CLUSTER_KEY_FILE", "/k")];
    let file = Some("cluster-ca-file = \"/ca\"\n");
    let files = resolve(&[("cluster-cert-file", "/c")], &variables, file).unwrap();
    let files = files.config.tls_files().unwrap();
    let all = [files.cert, files.key, files.ca].map(|path| path.display().to_string());
    assert_eq!(all, ["/c", "/k", "/ca"]);
    assert_eq!(resolve(&[], &[], None).unwrap().config.tls_files(), None);
}

#[test]
fn every_default_is_read_back_as_it_is_shown() {
    let (default, mut again) = (Config::default(), Config::default());
    for setting in TABLE {
        setting.field.set(&mut again, &setting.field.show(&default)).unwrap();
    }
    assert_eq!(default, again);
}
