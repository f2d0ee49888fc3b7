#include "subscribers/realtime/http_connection.hpp"

#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

namespace {

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

// A page of another site must not read this host's market through its visitor's browser.
bool origin_allowed(const http::request<http::string_body>& request) {
  const std::string_view origin = view(request[http::field::origin]);
  if (origin.empty()) return true;  // not a browser
  const std::size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && origin.substr(scheme + 3) == view(request[http::field::host]);
}

}  // namespace

void HttpConnection::start() {
  hub_.add(shared_from_this());
  read();
}

void HttpConnection::read() {
  deadline_ = hub_.clock.monotonic() + hub_.options.http_timeout;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(hub_.options.header_size_max));
  parser_->body_limit(hub_.options.body_size_max);
  http::async_read(socket_, buffer_, *parser_,
                   [self = self()](beast::error_code failed, std::size_t) { self->on_read(failed); });
}

void HttpConnection::on_read(beast::error_code failed) {
  using protocol::ErrorName;
  if (gone_) return;
  if (failed == http::error::header_limit) {
    return send(http_error(431, ErrorName::header_too_large, "the request's header is too large"), false);
  }
  if (failed == http::error::body_limit) {
    return send(http_error(413, ErrorName::body_too_large, "the request's body is too large"), false);
  }
  if (failed && failed.category() == http::make_error_code(http::error::bad_method).category() &&
      failed != http::error::end_of_stream && failed != http::error::partial_message) {
    return send(http_error(400, ErrorName::bad_http, "this is not HTTP: " + failed.message()), false);
  }
  if (failed) return drop();

  hub_.counters.add(Counter::http_requests);
  Request request = parser_->release();
  const std::string_view target = view(request.target());
  if (websocket::is_upgrade(request) && target.substr(0, target.find('?')) == "/v1/ws") {
    return upgrade(std::move(request));
  }
  head_only_ = request.method() == http::verb::head;
  keep_alive_ = request.keep_alive();
  if (request.method() != http::verb::get && !head_only_) {
    return send(http_error(405, ErrorName::method_not_allowed, "only GET and HEAD are served"), keep_alive_);
  }
  auto routed = route(hub_, target);
  if (const auto* query = std::get_if<EventsQuery>(&routed)) return read_log(*query);
  if (auto* range = std::get_if<EventsRange>(&routed)) {
    if (request.version() < 11) {
      return send(http_error(400, ErrorName::bad_http, "a stream of unknown length needs HTTP/1.1"), keep_alive_);
    }
    return stream(std::move(*range));
  }
  send(std::move(std::get<HttpAnswer>(routed)), keep_alive_);
}

void HttpConnection::upgrade(Request request) {
  using protocol::ErrorName;
  if (!origin_allowed(request)) {
    return send(http_error(403, ErrorName::origin_refused, "the page that asks is not from this gateway"), false);
  }
  if (hub_.sessions >= hub_.options.sessions_max) {
    hub_.counters.add(Counter::sessions_refused);
    return send(http_error(503, ErrorName::too_many_sessions, "all sessions are taken; try again later"), false);
  }
  const auto keep = shared_from_this();
  gone_ = true;
  hub_.remove(this);
  std::make_shared<Session>(hub_, std::move(socket_))->accept(request);
}

void HttpConnection::read_log(const EventsQuery& query) {
  using protocol::ErrorName;
  ReplayRead work;
  work.slot = hub_.take_replay_slot();
  if (!work.slot || hub_.stopping) {
    return send(http_error(503, ErrorName::replay_failed, "too many reads of the log; try again"), keep_alive_);
  }
  work.topic = query.topic;
  work.start = query.start;
  work.type = hub_.topics[query.topic].info.type;
  work.offsets_max = query.limit;
  asio::post(hub_.replay_threads, [self = self(), work = std::move(work)]() mutable {
    const std::size_t topic = work.topic;
    auto chunk = gateway::read_log(self->hub_.source, self->hub_.counters, std::move(work));
    Hub& hub = self->hub_;
    asio::post(hub.io, [self = std::move(self), topic, chunk = std::move(chunk)] {
      if (self->gone_) return;
      if (chunk) return self->send(events_answer(self->hub_.topics[topic].info, *chunk->body), self->keep_alive_);
      const auto error = protocol::from_error(chunk.error());
      const unsigned status = error.name == ErrorName::replay_failed ? 500 : 400;
      self->send(http_error(status, error.name, error.message), self->keep_alive_);
    });
  });
}

void HttpConnection::send(HttpAnswer answer, bool keep_alive) {
  if (answer.status >= 400) hub_.counters.add(Counter::http_errors);
  deadline_ = hub_.clock.monotonic() + hub_.options.http_timeout;
  keep_alive_ = keep_alive && !hub_.stopping;
  response_ = {};
  response_.version(11);
  response_.result(answer.status);
  response_.set(http::field::server, "millrace-gateway");
  response_.set(http::field::content_type, beast::string_view(answer.content_type.data(), answer.content_type.size()));
  response_.set(http::field::cache_control, "no-store");
  response_.set("X-Content-Type-Options", "nosniff");
  response_.set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:");
  if (answer.status == 405) response_.set(http::field::allow, "GET, HEAD");
  response_.keep_alive(keep_alive_);
  response_.body() = std::move(answer.body);
  response_.prepare_payload();
  if (head_only_) response_.body().clear();  // the length stays what GET would say
  http::async_write(socket_, response_, [self = self()](beast::error_code failed, std::size_t) {
    if (self->gone_) return;
    if (failed || !self->keep_alive_) {
      beast::error_code ignored;
      self->socket_.shutdown(asio::socket_base::shutdown_send, ignored);
      return self->drop();
    }
    self->read();
  });
}

void HttpConnection::tick(MonotonicTime now) {
  if (stream_ && !writes_stream()) return read_on();
  if (now <= deadline_) return;
  if (stream_) {
    hub_.counters.add(Counter::http_streams_cut);
  } else if (buffer_.size() > 0 || (parser_ && parser_->got_some())) {
    hub_.counters.add(Counter::http_timeouts);
  }
  drop();
}

void HttpConnection::drop() {
  if (gone_) return;
  const auto keep = shared_from_this();
  gone_ = true;
  hub_.remove(this);
  beast::error_code ignored;
  socket_.close(ignored);
}

}  // namespace millrace::gateway
