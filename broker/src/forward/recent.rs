//! Values that requests have carried a moment ago, with their spellings, which take a while to prepare.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::decide::Taken;
use crate::grants::Grants;
use crate::sought::Sought;

/// How long the spellings of a value are kept for the next request that carries it.
const KEPT_FOR: Duration = Duration::from_millis(300);

/// By their secrets, what was prepared.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<HashMap<usize, Prepared>>);

#[derive(Debug)]
struct Prepared {
    taken: Taken,
    sought: Arc<Sought>,
    last: Instant,
}

impl Recent {
    /// What to look for in the answer to a request with these values, if there are any.
    pub(super) async fn sought(&self, grants: &Grants, mut all: Vec<(usize, Taken)>) -> Option<Arc<Sought>> {
        if all.is_empty() {
            return None;
        }
        if let Some(known) = self.known(&all) {
            return Some(known);
        }
        // It takes a while. The request goes first, so that the host is at work meanwhile.
        tokio::task::yield_now().await;
        let sought = Sought::new(all.iter().map(|(_, taken)| taken.value.expose()));
        let Some((secret, taken)) = all.pop().filter(|_| all.is_empty()) else {
            return Some(Arc::new(sought));
        };
        let placeholder = grants.secrets.get(secret).map(|granted| granted.placeholder.clone());
        let sought = Arc::new(sought.shown_as(placeholder.unwrap_or_default()));
        self.lock().insert(secret, Prepared { taken, sought: sought.clone(), last: Instant::now() });
        Some(sought)
    }

    /// What was prepared a moment ago for the same value.
    fn known(&self, all: &[(usize, Taken)]) -> Option<Arc<Sought>> {
        let [(secret, taken)] = all else { return None };
        let mut recent = self.lock();
        let known = recent.get_mut(secret)?;
        if !known.taken.is(taken) && known.taken.value != taken.value {
            return None;
        }
        known.last = Instant::now();
        Some(known.sought.clone())
    }

    /// Forgets the values that no request has carried for a moment. Says whether there are others.
    pub(super) fn forget(&self) -> bool {
        let mut recent = self.lock();
        recent.retain(|_, recent| recent.last.elapsed() < KEPT_FOR);
        !recent.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Prepared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
