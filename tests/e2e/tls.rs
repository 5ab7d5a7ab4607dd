//! Mutual TLS between nodes: who shows a certificate of the cluster links, and nobody else, and nobody reads along.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::{Authority, Issued, file};
use crate::cluster::{launch, settled, start};
use crate::process::{DEADLINE, Process, eventually, free_addrs, run};
use crate::tapped::Tapped;

const HERE: &[&str] = &["127.0.0.1"];

/// What a peer that was dialled and refused is told of with.
const NO_LINK: &str = "a peer was dialled and there is no link";

/// The flags of a node that shows `shown` and trusts `authority`.
fn flags(dir: &Path, name: &str, shown: &Issued, authority: &Authority) -> [String; 6] {
    let at = |part: &str, content| file(dir, &format!("{name}.{part}"), content);
    let (cert, key, ca) = (at("cert", &shown.cert), at("key", &shown.key), at("ca", &authority.pem));
    [
        "--cluster-cert-file",
        &cert,
        "--cluster-key-file",
        &key,
        "--cluster-ca-file",
        &ca,
    ]
    .map(str::to_owned)
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

fn members(node: &Process) -> usize {
    node.cluster()["members"].as_array().unwrap().len()
}

/// Three nodes that reach each other through proxies alone, after a write and some reads, and what could be read on the way.
struct Overheard {
    nodes: Vec<Process>,
    tapped: Tapped,
    _dir: tempfile::TempDir,
}

impl Overheard {
    fn new(flags: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tapped, addrs) = (Tapped::default(), free_addrs::<3>());
        let proxies = addrs.clone().map(|to| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap().to_string();
            tapped.pass(listener, to);
            addr
        });
        let start = |who: usize| {
            let mut more = words(flags);
            more.extend([
                "--listen",
                &addrs[who],
                "--advertise",
                &proxies[who],
                "--heartbeat",
                "100ms",
            ]);
            if who > 0 {
                more.extend(["--join", &proxies[0]]);
            }
            Process::start_with(&dir.path().join(format!("node-{who}")), &more)
        };
        let nodes = [0, 1, 2].map(start);
        settled(&nodes.each_ref());

        nodes[0].ok(&["set", "harbours", "k", "\"dreadnought\"", "--consistency", "quorum"]);
        // Too long for one record of TLS, and for what a socket takes at once.
        let big = format!("\"{}\"", "lighthouse ".repeat(200_000));
        let row = format!("{{\"_key\":\"big\",\"value\":{big}}}\n");
        nodes[0].ok(&[
            "import",
            "--map",
            "harbours",
            "--key",
            "_key",
            &file(dir.path(), "rows.ndjson", &row),
        ]);
        for node in &nodes[1..] {
            let read = node.ok(&["get", "harbours", "k", "--consistency", "quorum"]);
            assert_eq!(read, "\"dreadnought\"");
            eventually("the long value is everywhere", || {
                (node.cli(&["get", "harbours", "big"]).out.trim_end() == big).then_some(())
            });
        }
        assert!(tapped.bytes() > big.len(), "the proxies were passed by");
        Self {
            nodes: nodes.into(),
            tapped,
            _dir: dir,
        }
    }
}

#[test]
fn nodes_with_certificates_are_a_cluster_and_nobody_reads_along() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let ours = flags(dir.path(), "node", &authority.issue(HERE), &authority);
    let over = Overheard::new(&ours);
    for secret in ["harbours", "dreadnought", "lighthouse", "GET /peer"] {
        assert!(!over.tapped.saw(secret), "{secret}");
    }
    for node in &over.nodes {
        node.await_log(&["INFO", "peers speak mutual TLS"]);
        assert!(!node.log().contains("PRIVATE KEY"), "{}", node.log());
    }

    // The same eyes see it all where nothing is configured.
    let over = Overheard::new(&[]);
    for open in ["harbours", "dreadnought", "lighthouse", "GET /peer"] {
        assert!(over.tapped.saw(open), "{open}");
    }
}

/// A cluster of one node with certificates, and somebody who would join it.
struct Met {
    member: Process,
    stranger: Process,
    _dir: tempfile::TempDir,
}

impl Met {
    fn new(member: impl FnOnce(&Path) -> Vec<String>, stranger: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addrs = free_addrs();
        let (member, stranger) = (member(dir.path()), stranger(dir.path()));
        let member = start(dir.path(), &addrs, 0, &words(&member));
        Self {
            stranger: launch(dir.path(), &addrs, 1, &words(&stranger)),
            member,
            _dir: dir,
        }
    }

    /// Both have said why, in lines with all of these parts, and the stranger has no part in the cluster.
    fn are_apart(&self, member: &[&str], stranger: &[&str]) {
        for (node, parts) in [(&self.member, member), (&self.stranger, stranger)] {
            node.await_log(&[&["WARN"], parts].concat());
            assert!(!node.log().contains("linked with a peer"), "{}", node.log());
        }
        let refused = self.stranger.cli(&["set", "m", "poison", "1"]);
        assert!(
            refused.code == Some(3) && refused.err.contains("error[NotMember]"),
            "{refused:?}"
        );
        self.member.ok(&["set", "m", "k", "1"]);
        assert_eq!(members(&self.member), 1);
    }
}

#[test]
fn a_node_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(HERE), &ours).to_vec(),
        |dir| flags(dir, "stranger", &theirs.issue(HERE), &theirs).to_vec(),
    );
    met.are_apart(
        &["no mutual TLS with it", "it ended the TLS handshake: UnknownCA"],
        &[NO_LINK, "signed by no root"],
    );
}

#[test]
fn a_node_that_trusts_the_cluster_and_is_not_trusted_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(HERE), &ours).to_vec(),
        |dir| flags(dir, "stranger", &theirs.issue(HERE), &ours).to_vec(),
    );
    met.are_apart(
        &["no mutual TLS with it", "signed by no root"],
        &[NO_LINK, "it ended the TLS handshake: UnknownCA"],
    );
}

#[test]
fn a_node_whose_certificate_has_expired_is_refused() {
    let ours = Authority::new("ours");
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(HERE), &ours).to_vec(),
        |dir| flags(dir, "stranger", &ours.issue_expired(HERE), &ours).to_vec(),
    );
    met.are_apart(
        &["no mutual TLS with it", "has expired"],
        &[NO_LINK, "it ended the TLS handshake: CertificateExpired"],
    );
    met.stranger
        .await_log(&["may not take this node's certificate", "expired"]);
}

#[test]
fn a_node_with_a_certificate_for_another_host_is_refused_when_it_dials() {
    let ours = Authority::new("ours");
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(HERE), &ours).to_vec(),
        |dir| flags(dir, "stranger", &ours.issue(&["elsewhere.example"]), &ours).to_vec(),
    );
    met.are_apart(
        &["not what its certificate says", "another name", "elsewhere.example"],
        &["a peer closed the link", "another name", "elsewhere.example"],
    );
}

#[test]
fn a_node_with_a_certificate_for_another_host_is_refused_when_it_is_dialled() {
    let ours = Authority::new("ours");
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(&["elsewhere.example"]), &ours).to_vec(),
        |dir| flags(dir, "stranger", &ours.issue(HERE), &ours).to_vec(),
    );
    met.are_apart(
        &["no mutual TLS with it", "BadCertificate"],
        &[NO_LINK, "another name", "elsewhere.example"],
    );
}

#[test]
fn a_node_without_tls_is_refused_by_one_with_it() {
    let ours = Authority::new("ours");
    let met = Met::new(
        |dir| flags(dir, "member", &ours.issue(HERE), &ours).to_vec(),
        |_| Vec::new(),
    );
    met.are_apart(&["speaks without TLS"], &[NO_LINK, "peer_tls_required"]);
}

#[test]
fn a_node_with_tls_is_refused_by_one_without_it() {
    let ours = Authority::new("ours");
    let met = Met::new(
        |_| Vec::new(),
        |dir| flags(dir, "stranger", &ours.issue(HERE), &ours).to_vec(),
    );
    met.are_apart(
        &["it speaks TLS, and this node has no certificate"],
        &[NO_LINK, "it has no certificates, or does not take ours"],
    );
}

/// A handshake without a certificate of one's own, and what a request is answered with.
fn answered_without_a_certificate(node: &Process, authority: &Authority) -> (Vec<u8>, Option<String>) {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(&node.addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let _ = stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).err();
    (answer, error.map(|error| error.to_string()))
}

#[test]
fn who_shows_no_certificate_gets_nothing_and_clients_speak_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let ours = flags(dir.path(), "node", &authority.issue(HERE), &authority);
    let node = Process::start_with(&dir.path().join("data"), &words(&ours));

    let (answer, error) = answered_without_a_certificate(&node, &authority);
    assert_eq!(String::from_utf8_lossy(&answer), "");
    assert!(
        error
            .as_ref()
            .is_some_and(|error| error.contains("CertificateRequired")),
        "{error:?}"
    );
    node.await_log(&["WARN", "no mutual TLS with it", "it shows no certificate"]);

    let upgrade = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for headers in [&upgrade[..], &[]] {
        let (status, _, body) = node.http("GET", "/peer", headers, &[]);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 403, "{body}");
        for part in [
            "\"peer_tls_required\"",
            "--cluster-cert-file",
            "--cluster-key-file",
            "--cluster-ca-file",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
    }

    node.ok(&["set", "m", "k", "1"]);
    assert_eq!(node.ok(&["get", "m", "k"]), "1");
    assert_eq!(node.http("GET", "/health/ready", &[], &[]).0, 200);
    let json = [("content-type", "application/json")];
    assert_eq!(
        node.http("POST", "/sync", &json, b"{\"type\":\"PING\",\"timestamp\":1}")
            .0,
        200
    );
}

#[test]
fn tls_to_a_node_without_certificates_is_told_of_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    let mut stream = TcpStream::connect(&node.addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&[0x16, 3, 1, 0, 5]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "{answer:?}");
    node.await_log(&[
        "WARN",
        "it speaks TLS, and this node has no certificate",
        "--cluster-cert-file",
    ]);
    node.ok(&["set", "m", "k", "1"]);
}

#[test]
fn a_node_with_half_of_it_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let all = flags(dir.path(), "node", &authority.issue(HERE), &authority);
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for missing in [0, 2, 4] {
        let mut more = words(&all);
        let name = more.drain(missing..missing + 2).next().unwrap();
        let done = run(&[&["--data", data][..], &more].concat());
        assert!(
            done.code == Some(2) && done.err.contains("error[settings_conflict]"),
            "{done:?}"
        );
        assert!(done.err.contains(&name[2..]), "{done:?}");
    }

    let other = flags(dir.path(), "other", &authority.issue(HERE), &authority);
    for (at, with, code) in [
        (1, "/nowhere/at/all", "tls_unreadable"),
        (1, &all[3], "tls_no_certificate"),
        (3, &all[1], "tls_no_key"),
        (3, &other[3], "tls_key_mismatch"),
        (5, &all[3], "tls_no_roots"),
    ] {
        let mut more = words(&all);
        more[at] = with;
        let done = run(&[&["--data", data][..], &more].concat());
        assert!(
            done.code == Some(2) && done.err.contains(&format!("error[{code}]")),
            "{done:?}"
        );
        assert!(done.err.contains(with) && done.err.contains("hint:"), "{done:?}");
    }

    // In addition to the secret, not instead of it.
    let open = run(&[&["--data", data, "--listen", "0.0.0.0:0"][..], &words(&all)].concat());
    assert!(
        open.code == Some(2) && open.err.contains("error[open_to_all]"),
        "{open:?}"
    );
    let shown = run(&[&["config", "print"][..], &words(&all)].concat());
    for path in [&all[1], &all[3], &all[5]] {
        assert!(shown.out.contains(path.as_str()), "{shown:?}");
    }
}

#[test]
fn a_cluster_with_a_secret_and_certificates_needs_both() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let node = |name: &str, text: &str| {
        let secret = file(dir.path(), &format!("{name}.secret"), text);
        let flags = flags(dir.path(), name, &authority.issue(HERE), &authority);
        [&flags[..], &["--cluster-secret-file".to_owned(), secret]].concat()
    };
    let addrs = free_addrs();
    let right = node("right", "correct horse battery");
    let a = start(dir.path(), &addrs, 0, &words(&right));
    let b = start(dir.path(), &addrs, 1, &words(&right));
    let c = launch(dir.path(), &addrs, 2, &words(&node("wrong", "another horse battery")));
    for node in [&a, &c] {
        node.await_log(&["the link to a peer is gone", "it does not know the secret"]);
    }
    eventually("two are members", || {
        let shown = a.ok(&[
            "cluster",
            "members",
            "--format",
            "json",
            "--token",
            "correct horse battery",
        ]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        (shown.as_array().unwrap().len() == 2).then_some(())
    });
    drop(b);
}
