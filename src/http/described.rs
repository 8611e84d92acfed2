//! The API's description: what any route may refuse is said in one place, so that a new route cannot forget it.
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};

/// The media type of every error.
const PROBLEM: &str = "application/problem+json";

/// Adds to each route the refusals that it shares with others, and gives every error the media type and the shape it has.
pub fn with_refusals(mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        methods.into_iter().flatten().for_each(refusals);
    }
    api
}

/// What a route may answer besides its own outcomes: by whether it has a body, names something in its path, needs a visitor.
fn refusals(route: &mut Operation) {
    let has_body = route.request_body.is_some();
    let names_something = route.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Path,
        RefOr::Ref(_) => false,
    });
    let is_for_visitors = !route.tags.iter().flatten().any(|tag| tag == "site");
    let shared = [
        ("400", true, "`bad_frame`: the request does not have the documented shape."),
        ("401", is_for_visitors, "`session_ended`: the cookie names no visitor; `GET /me` makes one."),
        (
            "403",
            is_for_visitors,
            "`banned`, or `forbidden`: not allowed, or a write that does not come from this site.",
        ),
        ("404", names_something, "`not_found`: there is no such thing, or it is not the visitor's."),
        ("408", has_body, "`bad_frame`: the body did not arrive in time."),
        ("411", has_body, "`bad_frame`: the body has no length."),
        ("413", true, "`too_long`: the body is larger than 64 KiB."),
        ("415", true, "`bad_frame`: the body is not JSON, or is compressed."),
        ("421", true, "`not_found`: the host is not this site's."),
        ("422", has_body, "`too_long`, or `bad_payload`: something in the body is refused."),
        ("429", true, "`rate_limited`: too many at once; `retry_after_ms` says for how long."),
        ("500", true, "`internal`: something went wrong here."),
        ("503", true, "`unavailable`: not now; nothing was lost, try again."),
    ];
    for (status, applies, description) in shared {
        if applies && !route.responses.responses.contains_key(status) {
            route.responses.responses.insert(status.to_owned(), RefOr::T(Response::new(description)));
        }
    }
    for (status, response) in &mut route.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            response.content.clear();
            response.content.insert(PROBLEM.to_owned(), RefOr::T(Content::new(Some(Ref::from_schema_name("Problem")))));
        }
    }
}
