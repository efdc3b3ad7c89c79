//! Cryptography; for now only random numbers.

/// The system could not give random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub(crate) struct RandomError;

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    use ring::rand::SecureRandom;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}
