//! The store in memory keeps what every store promises.

use std::sync::Arc;

use berth_registry::store::Store;
use berth_registry::store::memory::MemoryStore;

struct Opened {
    store: Arc<dyn Store>,
}

async fn open() -> Opened {
    Opened { store: Arc::new(MemoryStore::new()) }
}

berth_tests::store_conformance!(open);
