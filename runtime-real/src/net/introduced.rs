//! A node at the other end of a link: who it is for a log, and whether it is what its certificate says.

use std::net::SocketAddr;

use futures_rustls::pki_types::CertificateDer;
use kernel::wire::peer::PeerMessage;

use super::handshake::check_name;

/// The other end of a link between nodes.
#[derive(Debug)]
pub(super) struct Introduced {
    /// Where it was dialled, or from where it came.
    pub at: String,
    /// What it has shown, until it has said its address.
    certificate: Option<CertificateDer<'static>>,
}

impl Introduced {
    /// One that was dialled at `addr`.
    pub(super) fn dialled(addr: &str, certificate: Option<CertificateDer<'static>>) -> Self {
        let at = addr.to_owned();
        Self { at, certificate }
    }

    /// One that came from there.
    pub(super) fn accepted(from: SocketAddr, certificate: Option<CertificateDer<'static>>) -> Self {
        let at = from.to_string();
        Self { at, certificate }
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
