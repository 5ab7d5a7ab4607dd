//! A node at the other end of a link: who it is for a log, and whether it is what its certificate says.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_rustls::pki_types::CertificateDer;
use kernel::wire::peer::PeerMessage;

use super::handshake::check_name;
use crate::metrics::Sparingly;

/// The other end of a link between nodes.
#[derive(Debug)]
pub(super) struct Introduced {
    /// Where it was dialled, or from where it came.
    pub at: String,
    /// What it has shown, until it has said its address.
    certificate: Option<CertificateDer<'static>>,
    /// Of those that came in at the same port.
    warnings: Rc<RefCell<Sparingly>>,
}

impl Introduced {
    /// One that was dialled at `addr`.
    pub(super) fn dialled(addr: &str, certificate: Option<CertificateDer<'static>>) -> Self {
        Self {
            at: addr.to_owned(),
            certificate,
            // How often it is dialled is limited.
            warnings: Rc::default(),
        }
    }

    /// One that came from there.
    pub(super) fn accepted(
        from: SocketAddr,
        certificate: Option<CertificateDer<'static>>,
        warnings: Rc<RefCell<Sparingly>>,
    ) -> Self {
        Self {
            at: from.to_string(),
            certificate,
            warnings,
        }
    }

    /// Says why there is no link with it.
    pub(super) fn warn(&self, what: &str, reason: &str) {
        if let Some(unsaid) = self.warnings.borrow_mut().may() {
            tracing::warn!(at = self.at, reason, unsaid, "{what}");
        }
    }

    /// Looks at a frame of its, before the machine does. The address in its greeting, where the others are to dial it, must be
    /// one that its certificate is for: a node that nobody will be able to dial is refused at once, and becomes no member.
    pub(super) fn check(&mut self, frame: &[u8]) -> Result<(), String> {
        let Some(certificate) = &self.certificate else {
            return Ok(());
        };
        if let Ok(PeerMessage::Hello(hello)) = PeerMessage::decode(frame) {
            check_name(certificate, hello.addr)?;
            self.certificate = None;
        }
        Ok(())
    }
}
