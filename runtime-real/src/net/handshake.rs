//! TLS handshakes between nodes, and why one fails, in words for a log.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::time::Duration;

use futures_lite::AsyncReadExt;
use futures_rustls::TlsStream;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::client::verify_server_name;
use futures_rustls::rustls::server::ParsedCertificate;
use futures_rustls::rustls::{CertificateError, Error as TlsError};
use smol::net::TcpStream;

use super::port::in_time;
use super::stream::Stream;
use super::tls::Tls;

/// How long a refused connection is still listened to, and for how many bytes.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 64 << 10);

/// The first byte of everybody who begins a TLS handshake, and of nobody who speaks HTTP.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// Why there is no TLS, and the connection, for [`linger`].
pub(super) type Failed = (String, TcpStream);

/// The side of the handshake that was dialled. Whoever shows no certificate of the cluster is refused.
pub(super) async fn accept(tls: &Tls, stream: TcpStream) -> Result<Stream, Failed> {
    match tls.acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
        Err((error, stream)) => Err((reason(&error), stream)),
    }
}

/// The side that dials. What answers must have a certificate of the cluster for the host of `addr`.
pub(super) async fn connect(tls: &Tls, stream: TcpStream, addr: &str) -> Result<Stream, Failed> {
    let name = match name_of(addr) {
        Ok(name) => name,
        Err(reason) => return Err((reason, stream)),
    };
    match tls.connector.connect(name, stream).into_fallible().await {
        Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Client(stream)))),
        Err((error, stream)) => Err((reason(&error), stream)),
    }
}

/// Reads on for a moment, into nothing: to close a connection with something unread resets it, and may take from the other
/// side what it was told last, which is why it is refused.
pub(super) async fn linger(mut stream: TcpStream) {
    let (patience, mut left) = LINGER;
    let reading = async {
        let mut unread = [0; 4 << 10];
        let _ = stream.shutdown(Shutdown::Write);
        while let Ok(bytes @ 1..) = stream.read(&mut unread).await
            && left > bytes
        {
            left -= bytes;
        }
    };
    let _ = in_time(patience, reading).await;
}

/// Whether a certificate is for the host of `addr`, where its owner says that it can be dialled. A node may not pass itself off
/// as one at an address of another's: those whom it dials verify this, as those who dial it do.
pub(super) fn check_name(certificate: &CertificateDer<'_>, addr: &str) -> Result<(), String> {
    let checked = ParsedCertificate::try_from(certificate)
        .and_then(|certificate| verify_server_name(&certificate, &name_of(addr).map_err(TlsError::General)?));
    checked.map_err(|error| reason_of(&error))
}

/// The host of `HOST:PORT`, as certificates have it.
fn name_of(addr: &str) -> Result<ServerName<'static>, String> {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = ServerName::try_from(inside.unwrap_or(host).to_owned());
    name.map_err(|_| format!("no certificate can be for {host:?}, which is neither a name nor an address"))
}

/// Why a handshake failed, or what came right after it.
pub(super) fn reason(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return reason_of(error);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection in the middle of the TLS handshake: it has no certificates, or does not take ours; its log \
             says which"
                .into()
        }
        _ => error.to_string(),
    }
}

fn reason_of(error: &TlsError) -> String {
    use CertificateError as Bad;

    match error {
        TlsError::NoCertificatesPresented => "it shows no certificate".into(),
        TlsError::AlertReceived(alert) => format!("it ended the TLS handshake: {alert:?}; its log says why"),
        TlsError::InvalidMessage(_) => "what it speaks is no TLS: it has no certificates, or is no node".into(),
        TlsError::InvalidCertificate(error) => match error {
            Bad::UnknownIssuer | Bad::BadSignature => {
                "its certificate is signed by no root in this node's --cluster-ca-file".into()
            }
            Bad::Expired | Bad::ExpiredContext { .. } => format!("its certificate has expired ({error})"),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => format!("its certificate is not valid yet ({error})"),
            Bad::NotValidForName => "its certificate is for another name".into(),
            Bad::NotValidForNameContext { expected, presented } => format!(
                "its certificate is for another name: {}, and not for {}",
                presented.join(", "),
                expected.to_str()
            ),
            Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
                "its certificate is not for that: a node's is for serverAuth and clientAuth".into()
            }
            other => format!("its certificate is not taken: {other}"),
        },
        TlsError::General(reason) => reason.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::AsyncWriteExt;
    use futures_lite::future::{block_on, poll_once, zip};
    use smol::net::TcpListener;

    use crate::net::TlsFiles;
    use crate::net::tls::certificates::{Authority, Issued, file};

    fn tls(of: &Issued, authority: &Authority) -> Tls {
        let dir = tempfile::tempdir().unwrap();
        let at = |name, content| file(dir.path(), name, content).into();
        let files = TlsFiles {
            cert: at("cert", &of.cert),
            key: at("key", &of.key),
            ca: at("ca", &authority.pem),
        };
        Tls::load(&files).unwrap()
    }

    /// Both ends of a handshake over a socket: who dials `host`, and who is dialled.
    async fn shake(dials: &Tls, listens: &Tls, host: &str) -> (Result<Stream, String>, Result<Stream, String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let dialling = async {
            let stream = TcpStream::connect(to).await.unwrap();
            let connected = connect(dials, stream, &format!("{host}:{}", to.port())).await;
            connected.map_err(|(reason, _)| reason)
        };
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            accept(listens, stream).await.map_err(|(reason, _)| reason)
        };
        zip(dialling, accepting).await
    }

    #[test]
    fn what_is_flushed_arrives_and_an_end_is_told_from_a_cut() {
        let authority = Authority::new("ours");
        let (a, b) = (authority.issue(&["a.example"]), authority.issue(&["127.0.0.1", "::1"]));
        let (a, b) = (tls(&a, &authority), tls(&b, &authority));
        block_on(async {
            for host in ["127.0.0.1", "[::1]"] {
                let (dialled, accepted) = shake(&a, &b, host).await;
                let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
                assert!(check_name(&accepted.certificate().unwrap(), "a.example:1").is_ok());
                // Nobody reads, until neither the socket nor the session takes more: what the session holds only a flush brings out.
                let (piece, mut said) = (vec![7; 64 << 10], 0);
                while let Some(bytes) = poll_once(dialled.write(&piece)).await {
                    said += bytes.unwrap();
                }
                let mut heard = vec![0; said];
                let passing = zip(dialled.flush(), accepted.read_exact(&mut heard));
                let (flushed, read) = in_time(Duration::from_secs(30), passing).await.unwrap();
                flushed.and(read).unwrap();
                assert!(heard.iter().all(|byte| *byte == 7));
                drop(dialled);
                // Without the goodbye this is an error.
                assert_eq!(accepted.read(&mut heard).await.unwrap(), 0);
            }
        });
    }

    #[test]
    fn a_certificate_is_for_the_hosts_that_it_names() {
        let authority = Authority::new("ours");
        let (a, b) = (authority.issue(&["a.example"]), authority.issue(&["127.0.0.1"]));
        let (a, b) = (tls(&a, &authority), tls(&b, &authority));
        block_on(async {
            let (dialled, accepted) = shake(&b, &a, "127.0.0.1").await;
            let (dialled, accepted) = (dialled.unwrap_err(), accepted.unwrap_err());
            for part in ["another name", "a.example", "127.0.0.1"] {
                assert!(dialled.contains(part), "{dialled}");
            }
            assert!(accepted.contains("BadCertificate"), "{accepted}");

            let (_, accepted) = shake(&a, &b, "127.0.0.1").await;
            let shown = accepted.unwrap().certificate().unwrap();
            for other in ["b.example:1", "127.0.0.1:1", "[::1]:1", "no name:1"] {
                assert!(check_name(&shown, other).is_err(), "{other}");
            }
        });
    }

    #[test]
    fn the_host_of_an_address_is_what_a_certificate_must_be_for() {
        let name = |addr| name_of(addr).map(|name| name.to_str().into_owned());
        assert_eq!(name("db1.example:7878").as_deref(), Ok("db1.example"));
        assert_eq!(name("10.0.0.7:7878").as_deref(), Ok("10.0.0.7"));
        assert_eq!(name("[::1]:7878").as_deref(), Ok("::1"));
        assert!(matches!(name_of("[fd00::7]:1"), Ok(ServerName::IpAddress(_))));
        assert!(name("no name:7878").unwrap_err().contains("no name"));
    }
}
