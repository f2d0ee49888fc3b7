// What a session sends, and when: answers first, then what lies between its subscriptions' cursors and the head, from
// memory or from the log, as each one's policy wants it.
#include <string>

#include "bus/base/assert.hpp"
#include "bus/start.hpp"
#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

namespace {
// Events of memory that a look ahead goes over before other sessions have their turn.
constexpr std::size_t look_limit = 8 * 1024;
}  // namespace

void Session::pump() {
  if (writing_ || state_ != State::open) {
    if (!writing_ && state_ == State::closing) close_now();
    return;
  }
  if (answers_.empty() && !too_slow_) send_next();
  if (writing_) return;
  if (!answers_.empty()) {
    head_ = std::move(answers_.front());
    answers_.pop_front();
    body_.reset();
    tail_ = {};
    write(false);
    return read();
  }
  if (too_slow_) close(too_slow_code, "too slow: a subscription was behind its bound");
}

void Session::send_next() {
  const std::size_t all = subscriptions_.size() + replays_.size();
  for (std::size_t i = 0; i < all; ++i) {
    const std::size_t index = (turn_ + i) % all;
    if (index < subscriptions_.size()) {
      send_events(*subscriptions_[index]);
    } else {
      const auto replay = replays_[index - subscriptions_.size()];
      send_replay(replay);
    }
    if (writing_) turn_ = index + 1;
    if (writing_ || !answers_.empty() || too_slow_) return;
  }
}

void Session::send_events(Subscription& subscription) {
  // What a read under way brings begins at the cursor: it must stay where it is.
  while (!subscription.reading) {
    if (subscription.claiming) return;
    if (end_if_name_lost(subscription)) return;
    if (subscription.opening) return read_log(subscription);
    if (subscription.snapshot) return send_snapshot(subscription);
    if (end_if_too_slow(subscription)) return;
    if (!follow_run(subscription)) return;
    if (!subscription.ready && !prepare(subscription)) return;
    announce(subscription);
    if (!answers_.empty()) return;
    const std::shared_ptr<const Body> body = std::move(subscription.ready);
    subscription.ready.reset();
    if (subscription.batch) note_sent(*subscription.batch, *body, subscription.name != nullptr);
    subscription.announced = false;
    hub_.enter(subscription.slow.kind, subscription.pass(*body));
    if (subscription.name) subscription.name->sent(subscription.cursor);
    if (body->count > 0) return write_body(subscription, body);
  }
}

bool Session::prepare(Subscription& subscription) {
  Topic& topic = hub_.topics[subscription.topic];
  const Offset head = head_of(subscription);
  if (subscription.view.plan && subscription.cursor >= subscription.view.plan->end) subscription.view.plan.reset();
  // At the head, or beyond it when the log was ahead of the feeder: what comes next comes through the cache.
  if (subscription.cursor >= head) return false;
  if (subscription.lookahead || (subscription.to_be_conflated(head) && !subscription.lookahead_failed)) {
    if (!look_ahead(subscription)) return false;
  }
  if (!topic.cache.reaches(subscription.cursor)) return read_log(subscription), false;
  subscription.leave_log();
  subscription.caught_up = true;
  if (subscription.batch) return close_batch(subscription);
  subscription.ready = hub_.gather_live(topic, subscription.cursor, subscription.view);
  return true;
}

// True once there is a plan.
bool Session::look_ahead(Subscription& subscription) {
  Topic& topic = hub_.topics[subscription.topic];
  if (!subscription.lookahead) {
    subscription.leave_log();
    subscription.lookahead =
        std::make_shared<Lookahead>(subscription.cursor, head_of(subscription), hub_.options.conflated_keys_max);
    hub_.counters.add(Counter::conflations);
  }
  Lookahead& lookahead = *subscription.lookahead;
  for (const Offset first = lookahead.next(); !lookahead.done() && topic.cache.reaches(lookahead.next());) {
    const std::size_t looked_at = lookahead.next() - first;
    if (looked_at >= look_limit) return pump_later(), false;
    lookahead.look(topic.cache.block_of(lookahead.next()), *subscription.view.filter, *topic.info.type,
                   look_limit - looked_at);
  }
  if (!lookahead.done()) return read_log(subscription), false;
  subscription.view.plan = std::make_shared<const Plan>(lookahead.plan());
  subscription.lookahead.reset();
  subscription.leave_log();
  return true;
}

void Session::pump_later() {
  if (std::exchange(pump_posted_, true)) return;
  asio::post(hub_.io, [self = self()] {
    self->pump_posted_ = false;
    self->pump();
  });
}

bool Session::follow_run(Subscription& subscription) {
  const Topic& topic = hub_.topics[subscription.topic];
  // The log may be read ahead of what the feeder has told.
  const RunBegin run = subscription.log_run.run > topic.run.run ? subscription.log_run : topic.run;
  if (run.run <= subscription.run) return true;
  if (subscription.cursor > run.offset) {
    end_with(subscription,
             protocol::from_error({ErrorCode::rolled_back, "offset " + std::to_string(subscription.cursor.value()) +
                                                               " of run " + std::to_string(subscription.run.value()) +
                                                               " was taken back; the last common offset is " +
                                                               std::to_string(run.offset.value())}));
    return false;
  }
  subscription.run = run.run;
  subscription.begin_run(run.offset);
  answer(protocol::run_began(subscription.id, topic.info.name, run.run, run.offset));
  return true;
}

// Tells, once, what the next message of its events leaves out.
void Session::announce(Subscription& subscription) {
  if (std::exchange(subscription.announced, true)) return;
  const Body& body = *subscription.ready;
  const std::string& topic = hub_.topics[subscription.topic].info.name;
  for (const MissingEvents& missing : subscription.missing_in(body)) {
    hub_.counters.add(Counter::gaps_not_recorded);
    answer(protocol::gap_not_recorded(subscription.id, topic, missing.publisher, missing.from, missing.to,
                                      missing.before));
  }
  if (body.conflated == 0) return;
  hub_.counters.add(Counter::gaps_conflated);
  const protocol::Left left{body.first, Offset(body.next.value() - 1), body.conflated};
  answer(protocol::gap_conflated(subscription.id, topic, left, Offset(subscription.view.plan->end.value() - 1)));
}

bool Session::end_if_too_slow(Subscription& subscription) {
  const protocol::SlowPolicy& slow = subscription.slow;
  if (slow.kind != protocol::SlowPolicy::Kind::disconnect) return false;
  const std::uint64_t behind = subscription.behind(head_of(subscription));
  if (behind <= slow.queue) subscription.within_bound = true;
  if (behind <= slow.queue || !subscription.within_bound) return false;
  hub_.counters.add(Counter::sessions_cut_behind);
  const std::string message = "the subscription is " + std::to_string(behind) + " offsets behind, and its bound is " +
                              std::to_string(slow.queue) + "; resume at next_offset";
  answer(protocol::error({protocol::ErrorName::too_slow, message}, account_of(subscription)));
  too_slow_ = true;
  forget(subscription.id);
  return true;
}

void Session::write_body(Subscription& subscription, std::shared_ptr<const Body> body) {
  const bool binary = subscription.view.encoding == protocol::Encoding::binary;
  const std::string& topic = hub_.topics[subscription.topic].info.name;
  tail_ = binary ? std::string_view() : protocol::events_suffix;
  if (subscription.batch) {
    head_ = batch_head(subscription, topic, *body);
  } else if (binary) {
    const auto header =
        protocol::binary_header(subscription.id, body->first, body->next, body->count, hub_.clock.wall());
    head_.assign(header.data(), header.size());
  } else {
    head_ = protocol::events_prefix(subscription.id, topic, body->first, body->next, body->count);
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
  work.slot = subscription.slot();
  if (!work.slot) work.slot = hub_.take_replay_slot();
  if (!work.slot) return;  // the next tick asks again
  if (subscription.caught_up && !subscription.log && !subscription.lookahead) {
    hub_.counters.add(Counter::replays_healed);
  }
  const Topic& topic = hub_.topics[subscription.topic];
  work.topic = subscription.topic;
  work.start = subscription.lookahead ? subscription.lookahead->next() : subscription.cursor;
  if (subscription.opening) work.start = *subscription.opening;
  work.log = subscription.log;
  work.view = subscription.view;
  work.lookahead = subscription.lookahead;
  // A look ahead leaves it to the read of the events to tell what is deleted.
  work.skip_deleted = subscription.skip_deleted && !subscription.lookahead;
  work.type = topic.info.type;
  work.limit.bytes = hub_.options.message_size_max;
  if (subscription.batch) {
    work.limit = limit_of(subscription.batch->bounds);
    work.body = subscription.batch->from_log;
  }
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
  if (Subscription* subscription = find(id)) {
    subscription->reading = false;
    if (subscription->lookahead) {
      take_look(*subscription, chunk);
    } else if (chunk) {
      take_chunk(*subscription, std::move(*chunk));
    } else {
      end_with(*subscription, protocol::from_error(subscription->name ? as_overrun(chunk.error()) : chunk.error()));
    }
  }
  pump();
}

void Session::take_look(Subscription& subscription, Result<ReplayChunk>& chunk) {
  if (chunk) {
    subscription.log = std::move(chunk->log);
    subscription.log_ran_dry = chunk->looked_at == 0;
    return;
  }
  subscription.lookahead.reset();
  subscription.leave_log();
  subscription.lookahead_failed = true;
}

void Session::take_chunk(Subscription& subscription, ReplayChunk chunk) {
  subscription.lookahead_failed = false;
  subscription.log = std::move(chunk.log);
  if (subscription.log) subscription.log_run = subscription.log->replay->run();
  const Offset first = chunk.body->first;
  const Offset head = head_of(subscription);
  if (subscription.opening) {
    const auto wanted = offset_of(*subscription.opening);
    subscription.opening.reset();
    subscription.cursor = wanted ? *wanted : first;
    confirm(subscription);
    // A start far behind is conflated from its first event on.
    if (first == subscription.cursor && subscription.to_be_conflated(head)) return;
  }
  if (first > subscription.cursor) {
    hub_.counters.add(Counter::gaps_deleted);
    answer(protocol::gap_deleted(subscription.id, hub_.topics[subscription.topic].info.name,
                                 {subscription.cursor, Offset(first.value() - 1), first - subscription.cursor}));
    hub_.enter(subscription.slow.kind, subscription.skip_to(first));
    if (subscription.name) subscription.name->sent(subscription.cursor);
  }
  MILLRACE_ASSERT(first == subscription.cursor, "a chunk of the log begins where it is wanted");
  if (subscription.batch) {
    subscription.batch->open.reset();
    subscription.batch->from_log.reset();
    // Others have had their turn: what is read goes on.
    if (!chunk.complete && chunk.body->count > 0) {
      subscription.batch->from_log = std::move(chunk.body);
      return;
    }
  }
  if (chunk.body->next > subscription.cursor) {
    subscription.ready = std::move(chunk.body);
  } else {
    subscription.log_ran_dry = true;
  }
}

}  // namespace millrace::gateway
