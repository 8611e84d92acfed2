//! What is counted of requests, by route. A route is its pattern, so their number is limited.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use parking_lot::RwLock;

use super::values::{Counter, DURATIONS, Histogram};

/// The most routes that are told apart: more than the router has.
const MAX_ROUTES: usize = 512;
/// The methods that are told apart. The last one stands for all others.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "other"];
/// The statuses that are told apart. The last one stands for all others.
const STATUSES: [&str; 26] = [
    "101", "200", "201", "202", "204", "206", "302", "303", "304", "307", "308", "400", "401", "403", "404", "405",
    "408", "409", "411", "413", "415", "421", "422", "429", "500", "503",
];

/// What is counted of the requests to one route.
#[derive(Debug)]
pub struct Route {
    /// By method, then by status. The last status stands for all others.
    counts: Vec<Counter>,
    pub duration: Histogram,
}

impl Route {
    fn new() -> Self {
        let counts = (0..METHODS.len() * (STATUSES.len() + 1)).map(|_| Counter::default()).collect();
        Self { counts, duration: Histogram::new(DURATIONS) }
    }

    fn count(&self, method: &Method, status: StatusCode) {
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        let status = STATUSES.iter().position(|known| *known == status.as_str()).unwrap_or(STATUSES.len());
        self.counts[method * (STATUSES.len() + 1) + status].increment();
    }

    /// Returns method, status and number of what was requested at all.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let labels = |at: usize| {
            let status = STATUSES.get(at % (STATUSES.len() + 1)).copied().unwrap_or("other");
            (METHODS[at / (STATUSES.len() + 1)], status)
        };
        let all = self.counts.iter().enumerate().map(move |(at, count)| (labels(at), count.get()));
        all.filter(|(_, count)| *count > 0).map(|((method, status), count)| (method, status, count))
    }
}

/// What is counted of requests.
#[derive(Debug, Default)]
pub struct Http(RwLock<BTreeMap<String, Arc<Route>>>);

impl Http {
    /// Counts a request that was answered. `route` is the pattern of the router.
    pub fn record(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let known = self.0.read().get(route).cloned();
        let route = known.unwrap_or_else(|| self.add(route));
        route.count(method, status);
        route.duration.observe(took.as_secs_f64());
    }

    fn add(&self, route: &str) -> Arc<Route> {
        let mut routes = self.0.write();
        let name = if routes.len() < MAX_ROUTES { route } else { "(other)" };
        routes.entry(name.to_owned()).or_insert_with(|| Arc::new(Route::new())).clone()
    }

    /// Returns the routes that were requested.
    pub fn routes(&self) -> Vec<(String, Arc<Route>)> {
        self.0.read().iter().map(|(route, counts)| (route.clone(), counts.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{Method, StatusCode};

    use super::{Http, MAX_ROUTES};

    #[test]
    fn requests_are_counted_by_route_method_and_status_without_end() {
        let http = Http::default();
        let record = |route: &str, method: &str, status: u16| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            http.record(route, &method, StatusCode::from_u16(status).unwrap(), Duration::from_millis(3));
        };
        for _ in 0..3 {
            record("/ko", "GET", 200);
        }
        record("/ko", "GET", 304);
        record("/ko", "BREW", 418);
        let counted = |at: usize| http.routes()[at].1.counts().collect::<Vec<_>>();
        assert_eq!(counted(0), [("GET", "200", 3), ("GET", "304", 1), ("other", "other", 1)]);
        for n in 0..MAX_ROUTES + 50 {
            record(&format!("/{n}"), "GET", 200);
        }
        assert!(http.routes().len() <= MAX_ROUTES + 1);
        assert_eq!(
            http.routes().iter().find(|(route, _)| route == "(other)").unwrap().1.counts().next().unwrap().2,
            51
        );
    }
}
