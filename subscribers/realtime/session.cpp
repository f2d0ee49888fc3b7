#include "subscribers/realtime/session.hpp"

#include <algorithm>

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
  if (reading_ || too_slow_ || state_ != State::open || answers_.size() >= hub_.options.answers_max) return;
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
      } else if (const auto* asked = std::get_if<protocol::AskBooks>(&request.what)) {
        show_books(request.id, asked->subscription);
      } else if (const auto* ack = std::get_if<protocol::Ack>(&request.what)) {
        acknowledge(request.id, *ack);
      } else if (auto* wanted_replay = std::get_if<protocol::StartReplay>(&request.what)) {
        replay(request.id, std::move(*wanted_replay));
      } else if (const auto* steered = std::get_if<protocol::Steer>(&request.what)) {
        steer(request.id, *steered);
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
  if (auto wrong = fit(request.filter, type)) return refused(ErrorName::bad_filter, std::move(*wrong));

  const bool bounded = request.slow != protocol::SlowPolicy::Kind::heal;
  if (request.queue > hub_.options.queue_max) {
    return refused(ErrorName::bad_slow, "'queue' is at most " + std::to_string(hub_.options.queue_max) + " here");
  }
  if (request.slow == protocol::SlowPolicy::Kind::conflate && type.key_field().empty()) {
    return refused(ErrorName::bad_slow, "this topic's events have no key: there is nothing to conflate them by");
  }
  if (request.snapshot && type.key_field().empty()) {
    return refused(ErrorName::bad_snapshot, "this topic's events have no key: there is no latest of each");
  }

  auto made = std::make_unique<Subscription>();
  Subscription& subscription = *made;
  subscription.id = last_id_ + 1;
  subscription.topic = hub_.index_of(*topic);
  subscription.view.filter = std::make_shared<const protocol::Filter>(std::move(request.filter));
  subscription.view.encoding = request.encoding;
  subscription.slow = {request.slow, bounded ? request.queue.value_or(hub_.options.queue) : 0};
  subscription.skip_deleted = request.skip_deleted;
  subscription.request_id = request_id;
  subscription.last_sent = hub_.clock.monotonic();

  subscription.view.level = request.level;
  if (request.snapshot) subscription.snapshot.emplace();
  if (request.batch) subscription.batch.emplace().bounds = *request.batch;
  subscription.consumer = request.consumer;

  const Offset next = topic->cache.next();
  HoldRequest hold{std::move(request.consumer), std::nullopt, request.take_over};
  if (const auto* offset = std::get_if<Offset>(&request.start)) {
    if (*offset > next) {
      return refused(ErrorName::offset_ahead, "the topic's next offset is " + std::to_string(next.value()));
    }
    begin_at(subscription, *offset, *offset);
    hold.start = *offset;
  } else if (const auto* position = std::get_if<Position>(&request.start)) {
    if (position->log_id != topic->info.log_id) {
      return refused(ErrorName::wrong_log, "the topic's log is " + to_hex(topic->info.log_id.bytes) + " now");
    }
    begin_at(subscription, position->offset, *position);
    // Only the log knows where an earlier run ended.
    if (position->run != topic->info.run) subscription.opening = *position;
    hold.start = *position;
  } else if (const auto* time = std::get_if<WallTime>(&request.start)) {
    hold.start = subscription.opening = *time;
  } else if (std::holds_alternative<Earliest>(request.start)) {
    hold.start = subscription.opening = Earliest{};
  } else {
    subscription.cursor = topic->head(request.level);
  }

  last_id_ = subscription.id;
  subscriptions_.push_back(std::move(made));
  topic->watchers_of(request.level).push_back(this);
  if (!subscription.consumer.empty()) return claim(subscription, std::move(hold));
  subscription.caught_up = !subscription.opening;
  if (!subscription.opening) confirm(subscription);
}

void Session::begin_at(Subscription& subscription, Offset offset, const ReplayStart& start) {
  subscription.cursor = offset;
  if (offset < hub_.topics[subscription.topic].cache.first()) subscription.opening = start;
}

void Session::confirm(Subscription& subscription) {
  subscription.first = subscription.cursor;
  subscription.run = hub_.topics[subscription.topic].info.run;
  answer(protocol::subscribed(
      subscription.request_id, hub_.topics[subscription.topic].info,
      {subscription.id, subscription.first, subscription.view.encoding, subscription.slow, subscription.skip_deleted,
       hub_.options.heartbeat, hub_.options.client_timeout_told(), subscription.view.level, subscription.consumer,
       subscription.batch ? std::optional(subscription.batch->bounds) : std::nullopt,
       subscription.snapshot.has_value()}));
  subscription.request_id.clear();
}

void Session::end_with(Subscription& subscription, protocol::RequestError error) {
  if (subscription.pending()) {
    error.id = subscription.request_id;
    refuse(error);
  } else {
    answer(protocol::error(error, account_of(subscription)));
  }
  forget(subscription.id);
}

void Session::unsubscribe(const std::string& request_id, std::uint32_t id) {
  if (const auto replay = find_replay(id)) return leave_replay(request_id, *replay);
  const Subscription* subscription = find_confirmed(request_id, id);
  if (!subscription) return;
  answer(protocol::unsubscribed(request_id, account_of(*subscription)));
  forget(id);
}

void Session::show_books(const std::string& request_id, std::uint32_t id) {
  const Subscription* subscription = find_confirmed(request_id, id);
  if (!subscription) return;
  const Topic& topic = hub_.topics[subscription->topic];
  answer(protocol::books(request_id, topic.info.name, subscription->slow.kind, account_of(*subscription),
                         head_of(*subscription)));
}

// One that is still being opened has no number that a client could know.
Subscription* Session::find_confirmed(const std::string& request_id, std::uint32_t id) {
  Subscription* subscription = find(id);
  if (subscription && !subscription->pending()) return subscription;
  refuse({protocol::ErrorName::unknown_subscription, "this session has no subscription " + std::to_string(id),
          request_id});
  return nullptr;
}

protocol::Account Session::account_of(const Subscription& subscription) {
  return {subscription.id, subscription.first, subscription.cursor, subscription.books};
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
  auto& watchers = hub_.topics[(*at)->topic].watchers_of((*at)->view.level);
  watchers.erase(std::find(watchers.begin(), watchers.end(), this));
  subscriptions_.erase(at);
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
  if (subscriptions_.empty() && replays_.empty() && now - last_request_ > hub_.options.idle_timeout) {
    hub_.counters.add(Counter::sessions_idle);
    return close(websocket::close_code::policy_error, "idle: no subscription and no request");
  }
  for (const auto& subscription : subscriptions_) {
    subscription->log_ran_dry = false;
    if (subscription->pending() || now - subscription->last_sent < hub_.options.heartbeat) continue;
    subscription->last_sent = now;
    answer(protocol::heartbeat(subscription->id, hub_.topics[subscription->topic].info.name, subscription->cursor,
                               hub_.clock.wall()));
  }
  tick_replays(now);
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
  replays_.clear();
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
