//! Shaking hands: rustls, driven one record at a time.
//!
//! It is given whole records only, and no record more than it asks for. So what follows the last one
//! of the handshake is still sealed when rustls is done, and is opened by the session.

use std::{cell::RefCell, fmt, io, sync::Arc};

use rustls::{
    ClientConfig, Error, ExtractedSecrets, HandshakeKind, InvalidMessage, PeerIncompatible,
    PeerMisbehaved, ProtocolVersion, ServerConfig,
    client::{ClientConnectionData, UnbufferedClientConnection},
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert, ServerConnectionData, UnbufferedServerConnection},
    sign::CertifiedKey,
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};

use crate::{
    record,
    session::{Details, Kept, Session, Version},
};

/// Why there is no session, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The connection ended, or was ended because it took too long.
    Gone,
    /// What came was not TLS at all.
    Garbage,
    /// No version of the protocol in common.
    Version,
    /// Nothing else in common: no cipher suite, no group, no application protocol.
    Incompatible,
    /// We have no certificate for the name that was asked for.
    Name,
    /// The other side's certificate was not accepted, or there was none.
    Certificate,
    /// The other side refused: ours, perhaps.
    Alert,
    /// The other side broke the protocol.
    Misbehaved,
    /// A fault of ours.
    Internal,
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Gone,
        Self::Garbage,
        Self::Version,
        Self::Incompatible,
        Self::Name,
        Self::Certificate,
        Self::Alert,
        Self::Misbehaved,
        Self::Internal,
    ];

    /// As logs and metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Garbage => "garbage",
            Self::Version => "version",
            Self::Incompatible => "incompatible",
            Self::Name => "name",
            Self::Certificate => "certificate",
            Self::Alert => "alert",
            Self::Misbehaved => "misbehaved",
            Self::Internal => "internal",
        }
    }
}

/// A handshake that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In one word.
    pub class: Class,
    /// In a sentence.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(crate) fn gone(error: &io::Error) -> Self {
        Self { class: Class::Gone, why: error.to_string() }
    }

    pub(crate) fn of(error: &Error) -> Self {
        Self { class: class_of(error), why: error.to_string() }
    }

    fn internal(why: &str) -> Self {
        Self { class: Class::Internal, why: why.to_owned() }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there will be is their fault")]
fn class_of(error: &Error) -> Class {
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => Class::Garbage,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => Class::Version,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Class::Incompatible,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Class::Certificate,
        Error::AlertReceived(_) => Class::Alert,
        Error::General(why) if why.contains("certificate") => Class::Name,
        Error::General(_)
        | Error::EncryptError
        | Error::HandshakeNotComplete
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes => Class::Internal,
        _ => Class::Misbehaved,
    }
}

/// What a handshake wants next.
pub(crate) enum Step {
    /// Send what is there, then read.
    Read,
    /// Send what is there; it is done.
    Done,
}

/// rustls' side of a handshake, of a client or a server.
pub(crate) trait Side: Sized {
    type Data;
    /// Whether its last words go out at once, or with what is written first.
    const FLUSHES_LAST: bool;
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8])
    -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// Called behind each [`process`](Self::process).
    fn processed(&mut self) {}
    fn facts(&self) -> Facts;
    fn is_handshaking(&self) -> bool;
    fn wants_write(&self) -> bool;
    fn into_kept(self) -> Result<(ExtractedSecrets, Kept), Error>;
}

/// What rustls knows of a session.
pub(crate) struct Facts {
    version: Option<ProtocolVersion>,
    suite: Option<&'static str>,
    kind: Option<HandshakeKind>,
    protocol: Option<Box<[u8]>>,
    name: Option<Box<str>>,
    certificate: Option<CertificateDer<'static>>,
}

macro_rules! facts {
    ($connection:expr, $name:expr) => {
        Facts {
            version: $connection.protocol_version(),
            suite: $connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
            kind: $connection.handshake_kind(),
            protocol: $connection.alpn_protocol().map(Into::into),
            name: $name,
            certificate: $connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|first| first.clone().into_owned()),
        }
    };
}

/// A server's side, and the name it was asked for: rustls' unbuffered connections do not tell.
pub(crate) struct Server {
    connection: UnbufferedServerConnection,
    name: Option<Box<str>>,
}

impl Server {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self { connection: UnbufferedServerConnection::new(config)?, name: None })
    }
}

thread_local! {
    /// The name that the hello being processed asks for.
    static ASKED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// Notes for which name a certificate is looked for.
#[derive(Debug)]
struct Noting(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(Into::into));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// Prepares what servers go by for this crate: without it no handshake succeeds.
pub fn prepare_server(config: &mut ServerConfig) {
    config.enable_secret_extraction = true;
    config.cert_resolver = Arc::new(Noting(Arc::clone(&config.cert_resolver)));
}

/// Prepares what clients go by for this crate: without it no handshake succeeds.
pub const fn prepare_client(config: &mut ClientConfig) {
    config.enable_secret_extraction = true;
}

impl Side for Server {
    type Data = ServerConnectionData;
    const FLUSHES_LAST: bool = true;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.connection.process_tls_records(records)
    }

    fn processed(&mut self) {
        if let Some(name) = ASKED.take() {
            self.name = Some(name);
        }
    }

    fn facts(&self) -> Facts {
        facts!(self.connection, self.name.clone())
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn into_kept(self) -> Result<(ExtractedSecrets, Kept), Error> {
        let (secrets, kept) = self.connection.dangerous_into_kernel_connection()?;
        Ok((secrets, Kept::Server(kept)))
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const FLUSHES_LAST: bool = false;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn facts(&self) -> Facts {
        facts!(self, None)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn wants_write(&self) -> bool {
        (**self).wants_write()
    }

    fn into_kept(self) -> Result<(ExtractedSecrets, Kept), Error> {
        let (secrets, kept) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Kept::Client(kept)))
    }
}

/// A handshake under way, without its socket.
pub(crate) struct Handshake<S> {
    side: S,
    /// What was read and not yet used.
    pub(crate) input: Vec<u8>,
    /// How much of that rustls has been given.
    given: usize,
    /// What is to be sent.
    pub(crate) output: Vec<u8>,
}

enum Turn {
    Again,
    /// Another record is needed.
    More,
    /// It could send data.
    Open,
}

impl<S: Side> Handshake<S> {
    pub(crate) const fn new(side: S) -> Self {
        Self { side, input: Vec::new(), given: 0, output: Vec::new() }
    }

    /// Goes on until something must be read, or all is done.
    pub(crate) fn go_on(&mut self) -> Result<Step, Refusal> {
        loop {
            let turn = self.turn();
            self.side.processed();
            match turn {
                Ok(Turn::Again) => {}
                // A server could send before the client is through; we do not.
                Ok(Turn::Open) if !self.side.is_handshaking() => return Ok(Step::Done),
                Ok(Turn::More | Turn::Open) => match self.next_record() {
                    Some(length) => self.given += length,
                    None => return Ok(Step::Read),
                },
                Err(error) => {
                    self.last_words();
                    return Err(Refusal::of(&error));
                }
            }
        }
    }

    fn turn(&mut self) -> Result<Turn, Error> {
        let records = self.input.get_mut(..self.given).unwrap_or_default();
        let UnbufferedStatus { discard, state, .. } = self.side.process(records);
        let turn = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut self.output, |room| data.encode(room)).map(|()| Turn::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Turn::Again)
            }
            Ok(ConnectionState::WriteTraffic(_)) => Ok(Turn::Open),
            Ok(ConnectionState::BlockedHandshake) => Ok(Turn::More),
            Ok(_) => Err(Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments)),
            Err(error) => Err(error),
        };
        self.input.drain(..discard);
        self.given = self.given.saturating_sub(discard);
        turn
    }

    /// The length of the next whole record; of all there is if it can't be one, for rustls to say so.
    fn next_record(&self) -> Option<usize> {
        let rest = self.input.get(self.given..).unwrap_or_default();
        match record::length(rest) {
            Ok(length) => length.filter(|&length| length <= rest.len()),
            Err(_) => Some(rest.len()),
        }
    }

    /// The alert that tells the other side what was wrong. rustls must not look at records again.
    fn last_words(&mut self) {
        while self.side.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.side.process(&mut []).state
            else {
                return;
            };
            if encode(&mut self.output, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }

    /// The session that it came to, and the certificate of the other side.
    pub(crate) fn finish(self) -> Result<(Session, Option<CertificateDer<'static>>), Refusal> {
        let Facts { version, suite, kind, protocol, name, certificate } = self.side.facts();
        let version = match version {
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            _ => return Err(Refusal::internal("a version that we do not speak")),
        };
        let is_resumed = kind == Some(HandshakeKind::Resumed);
        let suite = suite.unwrap_or_default();
        let details = Details { version, suite, is_resumed, protocol, name };
        let kept = self.side.into_kept().map_err(|error| Refusal::of(&error))?;
        let session = Session::new(kept, details, self.output, self.input)
            .ok_or_else(|| Refusal::internal("a cipher that we do not know"))?;
        Ok((session, certificate))
    }
}

/// Appends what `encode` writes, in as much room as it asks for.
fn encode(
    output: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let from = output.len();
    let mut wanted = 1024;
    loop {
        output.resize(from + wanted, 0);
        match encode(output.get_mut(from..).unwrap_or_default()) {
            Ok(count) => {
                output.truncate(from + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(size)) if size.required_size > wanted => {
                wanted = size.required_size;
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}
