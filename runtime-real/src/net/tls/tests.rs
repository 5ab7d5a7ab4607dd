use super::certificates::{Authority, file};
use super::*;

/// What is loaded from files with these texts.
fn load(cert: &str, key: &str, ca: &str) -> Result<Tls, TlsError> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name, content| PathBuf::from(file(dir.path(), name, content));
    Tls::load(&TlsFiles {
        cert: at("cert", cert),
        key: at("key", key),
        ca: at("ca", ca),
    })
}

/// A certificate and its key in one file.
const SEC1: &str = include_str!("sec1.pem");
const RSA: &str = include_str!("rsa.pem");

#[test]
fn keys_are_taken_in_every_form() {
    let authority = Authority::new("ours");
    let node = authority.issue(&["node.example"]);
    let pkcs8 = load(&node.cert, &node.key, &authority.pem).unwrap();
    assert_eq!(pkcs8.unfit(), None);
    for (form, pem) in [("EC PRIVATE KEY", SEC1), ("RSA PRIVATE KEY", RSA)] {
        assert!(pem.contains(form));
        load(pem, pem, &authority.pem).unwrap();
    }
    // People pass a file through editors of all kinds, and write above what it is.
    let dressed = format!("node 7\n{}", node.cert.replace('\n', "\r\n"));
    load(&dressed, &node.key, &authority.pem).unwrap();
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name_and_without_its_content() {
    let authority = Authority::new("ours");
    let (node, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let ca = &*authority.pem;
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cut = &node.key[..node.key.len() - 30];
    let on_one_line = node.key.replace('\n', "");
    let scrambled = node.key.replacen('\n', "\n%%", 1);
    let encrypted = node.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    // Its roots would stand behind what is read.
    let long = format!("{}{ca}", "# a line of text\n".repeat(1 << 16));
    for (cert, key, ca, code, name) in [
        ("", &*node.key, ca, "tls_no_certificate", "cert"),
        (&*node.key, &*node.key, ca, "tls_no_certificate", "cert"),
        (no_certificate, &*node.key, ca, "tls_malformed", "cert"),
        (&node.cert[..100], &*node.key, ca, "tls_malformed", "cert"),
        (&*node.cert, "", ca, "tls_no_key", "key"),
        (&*node.cert, &*node.cert, ca, "tls_no_key", "key"),
        (&*node.cert, &*encrypted, ca, "tls_no_key", "key"),
        (&*node.cert, no_key, ca, "tls_key_kind", "key"),
        (&*node.cert, cut, ca, "tls_malformed", "key"),
        (&*node.cert, &*on_one_line, ca, "tls_malformed", "key"),
        (&*node.cert, &*scrambled, ca, "tls_malformed", "key"),
        (&*node.cert, &*other.key, ca, "tls_key_mismatch", "key"),
        (&*node.cert, &*node.key, "", "tls_no_roots", "ca"),
        (&*node.cert, &*node.key, "no PEM at all", "tls_no_roots", "ca"),
        (&*node.cert, &*node.key, no_certificate, "tls_malformed", "ca"),
        (&*node.cert, &*node.key, &ca[..100], "tls_malformed", "ca"),
        (&*node.cert, &*node.key, &*long, "tls_malformed", "ca"),
    ] {
        let error = load(cert, key, ca).unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.code(), code, "{shown}");
        assert!(
            shown.contains(&format!("/{name}")) && !error.hint().is_empty(),
            "{shown}"
        );
        for line in node.key.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!shown.contains(line), "{shown}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let authority = Authority::new("ours");
    let node = authority.issue(&["a"]);
    let dir = tempfile::tempdir().unwrap();
    let good = TlsFiles {
        cert: file(dir.path(), "cert", &node.cert).into(),
        key: file(dir.path(), "key", &node.key).into(),
        ca: file(dir.path(), "ca", &authority.pem).into(),
    };
    Tls::load(&good).unwrap();
    let (cert, key, ca) = ("/nowhere/cert".into(), "/nowhere/key".into(), "/nowhere/ca".into());
    for (files, name) in [
        (TlsFiles { cert, ..good.clone() }, "/nowhere/cert"),
        (TlsFiles { key, ..good.clone() }, "/nowhere/key"),
        (TlsFiles { ca, ..good.clone() }, "/nowhere/ca"),
    ] {
        let error = Tls::load(&files).unwrap_err();
        assert_eq!(error.code(), "tls_unreadable");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_certificate_that_the_others_will_not_take_is_known_at_the_start() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let node = theirs.issue(&["a"]);
    assert!(load(&node.cert, &node.key, &ours.pem).unwrap().unfit().is_some());
    // Both roots are there while the one is exchanged for the other.
    let both = [&*ours.pem, &theirs.pem].concat();
    assert_eq!(load(&node.cert, &node.key, &both).unwrap().unfit(), None);
    let expired = ours.issue_expired(&["a"]);
    let loaded = load(&expired.cert, &expired.key, &ours.pem).unwrap();
    assert!(loaded.unfit().unwrap().contains("expired"), "{:?}", loaded.unfit());
}
