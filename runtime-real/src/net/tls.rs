//! Mutual TLS between nodes: from the files of the settings to what handshakes are made with.
//!
//! A node shows one certificate, whether it dials or is dialled, and takes those that are signed by a root of the cluster's
//! own. Files are read once, at the start.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_rustls::pki_types::pem::{Error as PemError, PemObject};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use futures_rustls::rustls::client::Resumption;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use futures_rustls::rustls::{ClientConfig, Error as RustlsError, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};

/// Most bytes of a file that are read: chains and lists of roots are far shorter.
const FILE_BYTES: u64 = 1 << 20;

/// The files of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and those between it and a root.
    pub cert: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
    /// The roots that sign the certificates of nodes.
    pub ca: PathBuf,
}

/// What a node makes handshakes with. Clones share it.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
    /// Why the others will not take this node's own certificate, as far as it can tell.
    unfit: Option<String>,
}

/// Why files are of no use. Never shows what is in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is no PEM, or holds something else than it says.
    #[error("{path} is malformed: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// How.
        reason: &'static str,
    },
    /// The file of the certificate has none.
    #[error("there is no certificate in {path}")]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// The file of the key has none.
    #[error("there is no private key in {path}")]
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// The key is of a kind that is not known.
    #[error("the private key in {path} is of no kind that is taken")]
    KeyKind {
        /// Which.
        path: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("the private key in {key} is not that of the first certificate in {cert}")]
    KeyMismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
    },
    /// The file of the roots has none.
    #[error("there is no certificate in {path}, so that nobody could be trusted")]
    NoRoots {
        /// Which.
        path: PathBuf,
    },
    /// The library refuses for a reason of its own.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl TlsError {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "tls_unreadable",
            Self::Malformed { .. } => "tls_malformed",
            Self::NoCertificate { .. } => "tls_no_certificate",
            Self::NoKey { .. } => "tls_no_key",
            Self::KeyKind { .. } => "tls_key_kind",
            Self::KeyMismatch { .. } => "tls_key_mismatch",
            Self::NoRoots { .. } => "tls_no_roots",
            Self::Setup(_) => "tls_setup",
        }
    }

    /// What may help, if anything is known to.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "give a file that the user who runs the node can read",
            Self::Malformed { .. } => {
                "give PEM as `openssl` writes it, with its line ends; docs/security.md makes such files"
            }
            Self::NoCertificate { .. } => {
                "--cluster-cert-file takes PEM with -----BEGIN CERTIFICATE-----, this node's first"
            }
            Self::NoKey { .. } => {
                "--cluster-key-file takes PEM with a PKCS#8, SEC1 or RSA key that is not encrypted, as `openssl genpkey` makes it"
            }
            Self::KeyKind { .. } => "take ECDSA (P-256, P-384), Ed25519, or RSA with 2048 bits and more",
            Self::KeyMismatch { .. } => {
                "the certificate must be the one that was signed for this key, and stand first in its file"
            }
            Self::NoRoots { .. } => {
                "--cluster-ca-file takes PEM with -----BEGIN CERTIFICATE-----, of those who sign nodes"
            }
            Self::Setup(_) => "",
        }
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let Some(own) = chain.first().cloned() else {
            return Err(TlsError::NoCertificate {
                path: files.cert.clone(),
            });
        };
        let (key, roots) = (private_key(&files.key)?, Arc::new(roots(&files.ca)?));
        let provider = Arc::new(ring::default_provider());
        check_key(&key, &own, files, &provider)?;
        let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());

        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| setup(&error))?;
        let unfit = verifier.verify_client_cert(&own, &chain[1..], UnixTime::now()).err();

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| setup(&error))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| setup(&error))?;
        // A session that is taken up again is not verified again: its certificate may have expired since.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        Ok(Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
            unfit: unfit.map(|error| error.to_string()),
        })
    }

    /// Why the others will not take this node's own certificate, as far as it can tell: it has expired, or is signed by none
    /// of the roots. While roots are exchanged that may be as it should, so it is no error.
    pub fn unfit(&self) -> Option<&str> {
        self.unfit.as_deref()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    if about.len() > FILE_BYTES {
        let (path, reason) = (path.to_owned(), "it is longer than 1 MiB");
        return Err(TlsError::Malformed { path, reason });
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    found.map_err(|error| malformed(path, &error))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(TlsError::NoKey { path: path.to_owned() }),
        Err(error) => Err(malformed(path, &error)),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).map_err(|_| TlsError::Malformed {
            path: path.to_owned(),
            reason: "one of its certificates cannot be a root",
        })?;
    }
    match roots.is_empty() {
        true => Err(TlsError::NoRoots { path: path.to_owned() }),
        false => Ok(roots),
    }
}

/// In words of ours: the library's may quote a line, and in the file of a key that can be the key.
fn malformed(path: &Path, error: &PemError) -> TlsError {
    TlsError::Malformed {
        path: path.to_owned(),
        reason: match error {
            PemError::MissingSectionEnd { .. } => "what is begun in it has no end",
            PemError::IllegalSectionStart { .. } => "a -----BEGIN line has more on it than it should",
            PemError::Base64Decode(_) => "what it holds is no base64",
            _ => "it is no PEM",
        },
    }
}

/// Whether the key is of a known kind, and that of the certificate.
fn check_key(
    key: &PrivateKeyDer<'static>,
    own: &CertificateDer<'static>,
    files: &TlsFiles,
    provider: &CryptoProvider,
) -> Result<(), TlsError> {
    use futures_rustls::rustls::InconsistentKeys;
    use futures_rustls::rustls::sign::CertifiedKey;

    let Ok(signing) = provider.key_provider.load_private_key(key.clone_key()) else {
        return Err(TlsError::KeyKind {
            path: files.key.clone(),
        });
    };
    match CertifiedKey::new(vec![own.clone()], signing).keys_match() {
        Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(RustlsError::InconsistentKeys(_)) => Err(TlsError::KeyMismatch {
            key: files.key.clone(),
            cert: files.cert.clone(),
        }),
        Err(_) => Err(TlsError::Malformed {
            path: files.cert.clone(),
            reason: "its first certificate is none",
        }),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../../../tests/e2e/certificates.rs"]
pub(super) mod certificates;
