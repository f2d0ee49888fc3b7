#include "subscribers/realtime/session.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"

namespace millrace::gateway {

namespace {
constexpr std::chrono::nanoseconds close_limit{2'000'000'000};
}  // namespace

Session::Session(Hub& hub, Socket socket) : hub_(hub), socket_(std::move(socket)) {
  ++hub_.sessions;
}

Session::~Session() {
  --hub_.sessions;
}

void Session::accept(const http::request<http::string_body>& upgrade) {
  hub_.counters.add(Counter::sessions_opened);
  last_request_ = hub_.clock.monotonic();
  deadline_ = last_request_ + hub_.options.http_timeout;
  socket_.read_message_max(hub_.options.request_size_max);
  socket_.auto_fragment(false);
  socket_.set_option(websocket::stream_base::decorator(
      [](websocket::response_type& response) { response.set(http::field::server, "millrace-gateway"); }));
  hub_.add(shared_from_this());
  socket_.async_accept(upgrade, [self = self()](beast::error_code failed) {
    if (failed) return self->end_broken(failed);
    if (self->state_ != State::opening) return;
    self->state_ = State::open;
    self->read();
    self->pump();
  });
}

void Session::read() {
  // A client that does not read its answers is not heard: the limit of its write will end it.
  if (reading_ || state_ != State::open || answers_.size() >= hub_.options.answers_max) return;
  reading_ = true;
  socket_.async_read(request_, [self = self()](beast::error_code failed, std::size_t) { self->on_read(failed); });
}

void Session::on_read(beast::error_code failed) {
  reading_ = false;
  if (state_ == State::ended) return;
  if (failed == websocket::error::message_too_big) {
    hub_.counters.add(Counter::requests_oversize);
    return end();  // Beast has sent close code 1009
  }
  if (failed) return end_broken(failed);
  last_request_ = hub_.clock.monotonic();
  if (socket_.got_binary()) {
    refuse({protocol::ErrorName::binary_request, "requests are JSON in text messages"});
  } else {
    const auto data = request_.cdata();
    auto parsed = protocol::parse_request({static_cast<const char*>(data.data()), data.size()});
    if (const auto* wrong = std::get_if<protocol::RequestError>(&parsed)) {
      refuse(*wrong);
    } else {
      auto& request = std::get<protocol::Request>(parsed);
      if (auto* wanted = std::get_if<protocol::Subscribe>(&request.what)) {
        subscribe(request.id, std::move(*wanted));
      } else if (const auto* unwanted = std::get_if<protocol::Unsubscribe>(&request.what)) {
        unsubscribe(request.id, unwanted->subscription);
      } else {
        answer(protocol::pong(request.id, hub_.clock.wall()));
      }
    }
  }
  request_ = beast::flat_buffer();  // most sessions never speak again: keep nothing
  read();
  pump();
}

void Session::answer(std::string message) {
  answers_.push_back(std::move(message));
}

void Session::refuse(const protocol::RequestError& error) {
  hub_.counters.add(Counter::requests_bad);
  answer(protocol::error(error));
}

void Session::subscribe(const std::string& request_id, protocol::Subscribe request) {
  using protocol::ErrorName;
  const auto refused = [&](ErrorName name, std::string message) { refuse({name, std::move(message), request_id}); };
  Topic* topic = hub_.find(request.topic);
  if (!topic) return refused(ErrorName::unknown_topic, "there is no such topic; GET /v1/topics lists them");
  if (subscriptions_.size() >= hub_.options.subscriptions_max) {
    return refused(ErrorName::too_many_subscriptions,
                   "this session has its " + std::to_string(subscriptions_.size()) + " subscriptions already");
  }
  const schemas::EventType& type = *topic->info.type;
  if (!request.filter.field.empty()) {
    const auto fields = type.filterable();
    if (std::find(fields.begin(), fields.end(), request.filter.field) == fields.end()) {
      std::string names;
      for (const std::string& field : fields) names += (names.empty() ? "" : ", ") + field;
      return refused(ErrorName::bad_filter, "this topic can be filtered by: " + names);
    }
    if (request.filter.field == type.key_field()) {
      for (const std::string& value : request.filter.values) request.filter.keys.push_back(key_of(value));
    }
  }

  auto made = std::make_unique<Subscription>();
  Subscription& subscription = *made;
  subscription.id = last_id_ + 1;
  subscription.topic = hub_.index_of(*topic);
  subscription.filter = std::make_shared<const protocol::Filter>(std::move(request.filter));
  subscription.encoding = request.encoding;
  subscription.request_id = request_id;
  subscription.last_sent = hub_.clock.monotonic();

  const TailCache& cache = topic->cache;
  const auto begin_at = [&](Offset offset, ReplayStart start) {
    subscription.cursor = offset;
    if (!cache.reaches(offset)) subscription.opening = start;
  };
  if (std::holds_alternative<protocol::Live>(request.start)) {
    subscription.cursor = cache.next();
  } else if (const auto* offset = std::get_if<Offset>(&request.start)) {
    if (*offset > cache.next()) {
      return refused(ErrorName::offset_ahead, "the topic's next offset is " + std::to_string(cache.next().value()));
    }
    begin_at(*offset, *offset);
  } else if (const auto* position = std::get_if<Position>(&request.start)) {
    if (position->log_id != topic->info.log_id) {
      return refused(ErrorName::wrong_log, "the topic's log is " + to_hex(topic->info.log_id.bytes) + " now");
    }
    begin_at(position->offset, *position);
    // Only the log knows where an earlier run ended.
    if (position->run != topic->info.run) subscription.opening = *position;
  } else if (const auto* time = std::get_if<WallTime>(&request.start)) {
    subscription.opening = *time;
  } else {
    subscription.opening = Earliest{};
  }

  last_id_ = subscription.id;
  subscriptions_.push_back(std::move(made));
  topic->watchers.push_back(this);
  if (!subscription.opening) confirm(subscription);
}

void Session::confirm(Subscription& subscription) {
  answer(protocol::subscribed(subscription.request_id, subscription.id, hub_.topics[subscription.topic].info,
                              subscription.cursor, subscription.encoding));
  subscription.request_id.clear();
}

void Session::unsubscribe(const std::string& request_id, std::uint32_t id) {
  const Subscription* subscription = find(id);
  if (!subscription) {
    return refuse({protocol::ErrorName::unknown_subscription, "this session has no subscription " + std::to_string(id),
                   request_id});
  }
  answer(protocol::unsubscribed(request_id, id, subscription->cursor));
  forget(id);
}

Subscription* Session::find(std::uint32_t id) {
  for (const auto& subscription : subscriptions_) {
    if (subscription->id == id) return subscription.get();
  }
  return nullptr;
}

void Session::forget(std::uint32_t id) {
  const auto at = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                               [id](const auto& subscription) { return subscription->id == id; });
  auto& watchers = hub_.topics[(*at)->topic].watchers;
  watchers.erase(std::find(watchers.begin(), watchers.end(), this));
  subscriptions_.erase(at);
}

void Session::pump() {
  if (writing_ || state_ != State::open) {
    if (!writing_ && state_ == State::closing) close_now();
    return;
  }
  if (!answers_.empty()) {
    head_ = std::move(answers_.front());
    answers_.pop_front();
    body_.reset();
    tail_ = {};
    write(false);
    return read();
  }
  for (std::size_t i = 0; i < subscriptions_.size(); ++i) {
    const std::size_t index = (turn_ + i) % subscriptions_.size();
    if (send_events(*subscriptions_[index])) {
      turn_ = index + 1;
      return;
    }
  }
}

bool Session::send_events(Subscription& subscription) {
  Topic& topic = hub_.topics[subscription.topic];
  for (;;) {
    std::shared_ptr<const Body> body;
    // What a read under way brings begins at the cursor: it must stay where it is.
    if (subscription.reading) return false;
    if (subscription.opening) {
      read_log(subscription);
      return false;
    }
    if (subscription.ready) {
      body = std::move(subscription.ready);
      subscription.ready.reset();
    } else if (subscription.cursor >= topic.cache.next()) {
      // At the head, or beyond it when the log was ahead of the feeder: what comes next comes through the cache.
      return false;
    } else if (topic.cache.reaches(subscription.cursor)) {
      subscription.replay.reset();
      body = hub_.gather_live(topic, subscription.cursor, *subscription.filter, subscription.encoding);
    } else {
      read_log(subscription);
      return false;
    }
    subscription.cursor = body->next;
    if (body->count > 0) {
      write_body(subscription, std::move(body));
      return true;
    }
  }
}

void Session::write_body(Subscription& subscription, std::shared_ptr<const Body> body) {
  const bool binary = subscription.encoding == protocol::Encoding::binary;
  if (binary) {
    const auto header =
        protocol::binary_header(subscription.id, body->first, body->next, body->count, hub_.clock.wall());
    head_.assign(header.data(), header.size());
    tail_ = {};
  } else {
    head_ = protocol::events_prefix(subscription.id, hub_.topics[subscription.topic].info.name, body->first, body->next,
                                    body->count);
    tail_ = protocol::events_suffix;
  }
  body_ = std::move(body);
  subscription.last_sent = hub_.clock.monotonic();
  hub_.counters.add(Counter::messages_sent);
  write(binary);
}

void Session::write(bool binary) {
  writing_ = true;
  write_began_ = hub_.clock.monotonic();
  socket_.binary(binary);
  const std::array<asio::const_buffer, 3> buffers = {
      asio::buffer(head_), body_ ? asio::buffer(body_->bytes) : asio::const_buffer(), asio::buffer(tail_)};
  socket_.async_write(buffers,
                      [self = self()](beast::error_code failed, std::size_t size) { self->on_written(failed, size); });
}

void Session::on_written(beast::error_code failed, std::size_t size) {
  writing_ = false;
  if (state_ == State::ended) return;
  if (failed) return end_broken(failed);
  if (body_) hub_.counters.add(Counter::bytes_sent, size);
  body_.reset();
  pump();
}

void Session::read_log(Subscription& subscription) {
  if (replaying_ || subscription.log_ran_dry || hub_.stopping) return;
  ReplayRead work;
  work.slot = hub_.take_replay_slot();
  if (!work.slot) return;  // the next tick asks again
  if (!subscription.opening && !subscription.replay) hub_.counters.add(Counter::replays_healed);
  const Topic& topic = hub_.topics[subscription.topic];
  work.topic = subscription.topic;
  work.start = subscription.opening.value_or(subscription.cursor);
  work.replay = subscription.replay;
  work.filter = subscription.filter;
  work.encoding = subscription.encoding;
  work.type = topic.info.type;
  work.bytes_max = hub_.options.message_size_max;
  replaying_ = subscription.reading = true;
  asio::post(hub_.replay_threads, [self = self(), id = subscription.id, work = std::move(work)]() mutable {
    auto chunk = gateway::read_log(self->hub_.source, self->hub_.counters, std::move(work));
    Hub& hub = self->hub_;
    asio::post(hub.io, [self = std::move(self), id, chunk = std::move(chunk)]() mutable {
      self->on_chunk(id, std::move(chunk));
    });
  });
}

void Session::on_chunk(std::uint32_t id, Result<ReplayChunk> chunk) {
  replaying_ = false;
  if (state_ == State::ended) return;
  Subscription* subscription = find(id);
  if (subscription) subscription->reading = false;
  if (subscription && chunk) {
    subscription->replay = std::move(chunk->replay);
    if (subscription->opening) {
      subscription->opening.reset();
      subscription->cursor = chunk->body->first;
      confirm(*subscription);
    }
    MILLRACE_ASSERT(chunk->body->first == subscription->cursor, "a chunk of the log begins where it is wanted");
    if (chunk->body->next > subscription->cursor) {
      subscription->ready = std::move(chunk->body);
    } else {
      subscription->log_ran_dry = true;
    }
  } else if (subscription) {
    auto error = protocol::from_error(chunk.error());
    if (subscription->opening) {
      error.id = subscription->request_id;
      refuse(error);
    } else {
      answer(protocol::error(error, id));
    }
    forget(id);
  }
  pump();
}

void Session::tick(MonotonicTime now) {
  if (state_ == State::opening || state_ == State::closing) {
    if (now > deadline_) end();
    return;
  }
  if (writing_) {
    if (now - write_began_ > hub_.options.write_timeout) {
      // The socket is full of half a message: no close frame can follow it.
      hub_.counters.add(Counter::sessions_cut_slow);
      end();
    }
    return;
  }
  if (subscriptions_.empty() && now - last_request_ > hub_.options.idle_timeout) {
    hub_.counters.add(Counter::sessions_idle);
    return close(websocket::close_code::policy_error, "idle: no subscription and no request");
  }
  for (const auto& subscription : subscriptions_) {
    subscription->log_ran_dry = false;
    if (subscription->opening || now - subscription->last_sent < hub_.options.heartbeat) continue;
    subscription->last_sent = now;
    answer(protocol::heartbeat(subscription->id, hub_.topics[subscription->topic].info.name, subscription->cursor,
                               hub_.clock.wall()));
  }
  pump();
}

void Session::close(websocket::close_code code, std::string_view reason) {
  if (state_ == State::opening) return end();
  if (state_ != State::open) return;
  state_ = State::closing;
  deadline_ = hub_.clock.monotonic() + close_limit;
  close_reason_ = websocket::close_reason(code, beast::string_view(reason.data(), reason.size()));
  if (!writing_) close_now();
}

void Session::close_now() {
  writing_ = true;
  socket_.async_close(close_reason_, [self = self()](beast::error_code) { self->end(); });
}

void Session::end() {
  if (state_ == State::ended) return;
  const auto keep = self();
  state_ = State::ended;
  while (!subscriptions_.empty()) forget(subscriptions_.back()->id);
  hub_.remove(this);
  beast::error_code ignored;
  socket_.next_layer().close(ignored);
}

void Session::end_broken(beast::error_code failed) {
  if (state_ == State::ended) return;
  // A client that said goodbye, or a read of ours that a close of ours cut short, is no fault.
  const bool orderly = failed == websocket::error::closed || state_ == State::closing;
  if (!orderly) hub_.counters.add(Counter::sessions_broken);
  // While closing, the close frame's own handler ends it.
  if (state_ == State::closing && failed == asio::error::operation_aborted) return;
  end();
}

}  // namespace millrace::gateway
