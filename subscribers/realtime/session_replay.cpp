// A session's replays. Reads and writes take turns, so a client that does not read makes its replay wait. What a client
// asks of a replay while a thread is reading for it is done once that is back and what it has read is sent.
#include <string>

#include "subscribers/realtime/replay_protocol.hpp"
#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

using protocol::ErrorName;

namespace {
// Of what is further ahead the hub need not know: the tick, every 250 ms at most, looks at each session and asks again.
constexpr std::chrono::nanoseconds wake_ahead_max{500'000'000};

protocol::ReplayState state_of(const Session::SessionReplay& replay) {
  protocol::ReplayState state;
  state.subscription = replay.id;
  const PacedReplay& paced = *replay.paced;
  for (const PacedReplay::Topic& topic : paced.topics) {
    state.topics.push_back(topic.name);
    state.next.push_back(topic.next());
    state.end.push_back(topic.end);
    state.deleted_before.push_back(topic.deleted_before);
  }
  state.speed = paced.pacer.speed();
  state.paused = paced.paused;
  state.reached = paced.reached;
  state.count = paced.count;
  return state;
}
}  // namespace

void Session::replay(const std::string& request_id, protocol::StartReplay request) {
  const auto refused = [&](ErrorName name, std::string message) { refuse({name, std::move(message), request_id}); };
  if (replays_.size() >= hub_.options.session_replays_max) {
    return refused(ErrorName::too_many_subscriptions,
                   "this session has its " + std::to_string(replays_.size()) + " replays already");
  }
  std::vector<PacedReplay::Topic> topics;
  for (const std::string& name : request.topics) {
    const Topic* topic = hub_.find(name);
    if (!topic) return refused(ErrorName::unknown_topic, "there is no topic '" + name + "'; GET /v1/topics lists them");
    protocol::Filter filter = request.filter;
    if (auto wrong = fit(filter, *topic->info.type)) return refused(ErrorName::bad_filter, name + ": " + *wrong);
    PacedReplay::Topic& one = topics.emplace_back();
    one.index = hub_.index_of(*topic);
    one.name = name;
    one.type = topic->info.type;
    one.filter = std::make_shared<const protocol::Filter>(std::move(filter));
    if (!request.offsets.empty()) one.begin = request.offsets[topics.size() - 1];
    one.end = topic->head(request.level);
    if (const auto* end = request.to ? std::get_if<Offset>(&*request.to) : nullptr) {
      if (*end > one.end) {
        return refused(ErrorName::offset_ahead, "'to' is beyond the topic's next offset, " +
                                                    std::to_string(one.end.value()) + "; leave it out to end there");
      }
      one.end = *end;
    } else if (request.to) {
      one.to = std::get<WallTime>(*request.to);
    }
  }
  auto made = std::make_shared<SessionReplay>();
  made->paced = std::make_unique<PacedReplay>(std::move(topics), request.encoding, request.level, request.speed);
  made->paced->paused = request.paused;
  made->encoding = request.encoding;
  made->level = request.level;
  made->follow = request.follow;
  made->filter = std::move(request.filter);
  made->opening = request.from;
  made->request_id = request_id;
  made->last_sent = hub_.clock.monotonic();
  replays_.push_back(std::move(made));
}

std::shared_ptr<Session::SessionReplay> Session::find_replay(std::uint32_t id) {
  for (const auto& replay : replays_) {
    if (replay->id == id && replay->begun) return replay;
  }
  return nullptr;
}

void Session::steer(const std::string& request_id, const protocol::Steer& steer) {
  const auto replay = find_replay(steer.subscription);
  if (!replay) {
    return refuse({ErrorName::unknown_subscription, "this session has no replay " + std::to_string(steer.subscription),
                   request_id});
  }
  if (replay->reading || replay->opening || replay->has_unsent()) {
    if (replay->waiting.size() >= hub_.options.answers_max) {
      return refuse({ErrorName::bad_request, "too many requests of this replay at once", request_id});
    }
    replay->waiting.push_back({request_id, steer});
    return;
  }
  PacedReplay& paced = *replay->paced;
  const MonotonicTime now = hub_.clock.monotonic();
  const auto pause = [&] {
    if (!paced.paused) paced.pacer.pause(now, paced.head());
    paced.paused = true;
  };
  replay->due.reset();
  if (replay->ready) replay->ready->due.reset();
  switch (steer.what) {
    case protocol::Steer::What::pause:
      pause();
      paced.steps = 0;
      break;
    case protocol::Steer::What::resume:
      if (paced.paused) paced.pacer.resume(now);
      paced.paused = false;
      paced.steps = 0;
      break;
    case protocol::Steer::What::step:
      pause();
      paced.steps += steer.count;
      break;
    case protocol::Steer::What::speed:
      paced.pacer.change(steer.speed, now, paced.head());
      break;
    case protocol::Steer::What::seek:
      replay->opening = steer.to;
      replay->request_id = request_id;
      return;
  }
  answer(protocol::replay_answer("replay_state", request_id, state_of(*replay)));
}

void Session::send_replay(const std::shared_ptr<SessionReplay>& replay) {
  PacedReplay& paced = *replay->paced;
  if (replay->reading) return;
  if (replay->has_unsent()) return write_replay(*replay);
  while (!replay->waiting.empty() && !replay->opening) {
    const auto [request_id, what] = std::move(replay->waiting.front());
    replay->waiting.pop_front();
    steer(request_id, what);
  }
  if (!answers_.empty()) return;
  if (replay->ready && !replay->opening) {
    if (waits_for_memory(*replay)) return;  // the next tick asks again
    const PacedReplay::Chunk chunk = std::move(*replay->ready);
    replay->ready.reset();
    if (chunk.error) {
      answer(protocol::replay_error(protocol::from_error(*chunk.error), state_of(*replay)));
      return forget_replay(*replay);
    }
    if (chunk.ended && end_replay(*replay)) return;
    replay->due = chunk.due;
  }
  if (replay->opening || !paced.paused || paced.steps > 0) read_replay(replay);
}

bool Session::waits_for_memory(const SessionReplay& replay) const {
  if (!replay.follow || !replay.ready->ended || replay.ready->error) return false;
  return std::any_of(replay.paced->topics.begin(), replay.paced->topics.end(), [this](const PacedReplay::Topic& topic) {
    const gateway::Topic& live = hub_.topics[topic.index];
    return topic.next() > live.cache.next() && !topic.is_taken_back_by(live.run);
  });
}

// False: there is more by now.
bool Session::end_replay(SessionReplay& replay) {
  if (replay.follow) {
    bool more = false;
    for (PacedReplay::Topic& topic : replay.paced->topics) {
      if (const RunBegin& run = hub_.topics[topic.index].run; topic.is_taken_back_by(run)) {
        answer(protocol::replay_error(protocol::from_error(topic.taken_back_by(run)), state_of(replay)));
        return forget_replay(replay), true;
      }
      const Offset head = hub_.topics[topic.index].head(replay.level);
      more = more || head > topic.next();
      topic.end = std::max(topic.end, head);
    }
    if (more) return false;
    if (subscriptions_.size() + replay.paced->topics.size() > hub_.options.subscriptions_max) {
      answer(protocol::replay_error(
          {ErrorName::too_many_subscriptions, "there is no subscription left to go on into live"}, state_of(replay)));
      return forget_replay(replay), true;
    }
  }
  std::vector<std::uint32_t> followed_by;
  if (replay.follow) {
    for (std::size_t i = 0; i < replay.paced->topics.size(); ++i) {
      followed_by.push_back(last_id_ + 1 + static_cast<std::uint32_t>(i));
    }
  }
  answer(protocol::replayed(state_of(replay), followed_by));
  if (replay.follow) {
    for (const PacedReplay::Topic& topic : replay.paced->topics) {
      protocol::Subscribe request;
      request.topic = topic.name;
      request.start = topic.next();
      request.filter = replay.filter;
      request.encoding = replay.encoding;
      request.level = replay.level;
      subscribe("null", std::move(request));
    }
  }
  forget_replay(replay);
  return true;
}

void Session::forget_replay(const SessionReplay& replay) {
  std::erase_if(replays_, [&replay](const auto& one) { return one.get() == &replay; });
}

void Session::wake_me_at(MonotonicTime when) {
  const MonotonicTime now = hub_.clock.monotonic();
  if (when - now > wake_ahead_max) return;
  if (wakes_at_ && *wakes_at_ <= now) wakes_at_.reset();
  if (wakes_at_ && *wakes_at_ <= when) return;
  wakes_at_ = when;
  hub_.wake_at(when, shared_from_this());
}

void Session::read_replay(const std::shared_ptr<SessionReplay>& replay) {
  if (replaying_ || hub_.stopping) return;
  const MonotonicTime now = hub_.clock.monotonic();
  if (!replay->opening && replay->due && *replay->due > now) return wake_me_at(*replay->due);
  auto slot = hub_.take_replay_slot();
  if (!slot) return;  // the next tick asks again
  replaying_ = replay->reading = true;
  hub_.counters.add(Counter::replay_reads);
  asio::post(hub_.replay_threads, [self = self(), replay, now, slot = std::move(slot)]() mutable {
    PacedReplay::Chunk chunk;
    Status opened;
    if (replay->opening) {
      opened = replay->paced->open(self->hub_.source, *replay->opening);
    } else {
      chunk = replay->paced->read(now, self->hub_.options.message_size_max);
      chunk.body->slot = std::move(slot);
    }
    asio::io_context& io = self->hub_.io;
    asio::post(io, [self = std::move(self), replay = std::move(replay), chunk = std::move(chunk),
                    opened = std::move(opened)]() mutable {
      self->replaying_ = replay->reading = false;
      if (self->state_ == State::ended) return;
      self->on_replay_read(replay, std::move(chunk), opened);
      self->pump();
    });
  });
}

void Session::on_replay_read(const std::shared_ptr<SessionReplay>& replay, PacedReplay::Chunk chunk,
                             const Status& opened) {
  // The client may have left it meanwhile.
  if (std::find(replays_.begin(), replays_.end(), replay) == replays_.end()) return;
  if (!replay->opening) {
    replay->ready = std::move(chunk);
    return;
  }
  replay->opening.reset();
  if (!opened) {
    auto error = protocol::from_error(opened.error());
    error.id = replay->request_id;
    refuse(error);
    if (!replay->begun) forget_replay(*replay);
    return;
  }
  replay->ready.reset();  // its end, or its error, was that of the place it has left
  // One that is refused has had no number.
  if (!replay->begun) replay->id = ++last_id_;
  answer(protocol::replay_answer(replay->begun ? "replay_state" : "replaying", replay->request_id, state_of(*replay)));
  replay->begun = true;
}

void Session::write_replay(SessionReplay& replay) {
  const Body& body = *replay.ready->body;
  std::vector<Offset> next;
  for (const PacedReplay::Topic& topic : replay.paced->topics) next.push_back(topic.next());
  const bool binary = replay.encoding == protocol::Encoding::binary;
  head_ = binary ? protocol::replay_header(replay.id, body.count, next, hub_.clock.wall())
                 : protocol::replay_prefix(replay.id, body.count, next);
  tail_ = binary ? std::string_view() : protocol::events_suffix;
  body_ = std::move(replay.ready->body);
  replay.ready->body = std::make_shared<Body>();
  replay.last_sent = hub_.clock.monotonic();
  hub_.counters.add(Counter::messages_sent);
  write(binary);
}

void Session::leave_replay(const std::string& request_id, const SessionReplay& replay) {
  // What a thread reads for it just now is nobody's.
  answer("{\"type\":\"unsubscribed\",\"id\":" + request_id + ",\"subscription\":" + std::to_string(replay.id) + "}");
  forget_replay(replay);
}

void Session::tick_replays(MonotonicTime now) {
  for (const auto& replay : replays_) {
    if (!replay->begun || replay->reading || replay->has_unsent() || now - replay->last_sent < hub_.options.heartbeat)
      continue;
    replay->last_sent = now;
    answer(protocol::replay_heartbeat(state_of(*replay)));
  }
}

}  // namespace millrace::gateway
