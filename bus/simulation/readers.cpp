// The readers of a simulation.
#include <algorithm>

#include "bus/simulation/actors.hpp"

namespace millrace::simulation {

void Simulation::start_reader() {
  if (!bus_->has_core() || readers_.size() >= readers_max_) return;
  if (chance(30)) {
    auto reader = std::make_unique<Reader>();
    reader->sight.level = Level::live;
    reader->pace = chance(50) ? 100 : 10;
    reader->attachment = bus_->attach_subscriber();
    reader->core = core_;
    reader->subscriber = std::make_unique<Subscriber>(
        LiveReader({reader->link, reader->attachment},
                   [this, sight = &reader->sight](const Gap& gap) { model_->told(*sight, gap); }),
        bus_->type());
    reader->subscriber->verify(false);
    say("a live reader");
    readers_.push_back(std::move(reader));
    return;
  }
  const Level level = chance(50) ? Level::recorded : Level::synced;
  const ring::TopicMarks& marks = bus_->marks().topic;
  const std::uint64_t end = (level == Level::synced ? marks.synced_end : marks.recorded_end).load();
  const Offset first = first_on_disk();
  switch (pick(4)) {
    case 0:
      (void)open(level, StartLatest{}, Offset(end));
      return;
    case 1:
      (void)open(level, StartEarliest{}, first);
      return;
    case 2: {
      if (end < first.value()) return;
      const Offset offset = first + pick(end - first.value() + 1);
      (void)open(level, offset, offset);
      return;
    }
    default: {
      const WallTime time{clock_.wall().ns - static_cast<std::int64_t>(pick(20'000'000))};
      if (open(level, time, std::nullopt)) model_->starts_at(time, *readers_.back()->sight.next, first, Offset(end));
    }
  }
}

// What could not be deleted is still served.
Offset Simulation::first_on_disk() {
  Offset first;
  with_whole_disk([&] { first = wal::Reader::open(files_, options_.folder).value().first_offset(); });
  return first;
}

// `at`: where it must begin, if that is known.
bool Simulation::open(Level level, const Start& start, std::optional<Offset> at) {
  auto reader = std::make_unique<Reader>();
  reader->sight.level = level;
  reader->pace = chance(50) ? 100 : 10;
  reader->attachment = bus_->attach_subscriber();
  reader->core = core_;
  auto follower = Follower::open({reader->link, reader->attachment}, level, start,
                                 [this, sight = &reader->sight](const Gap& gap) { model_->told(*sight, gap); });
  const auto* token = std::get_if<Position>(&start);
  const bool disk = fault_ && files_.failed();
  const auto expected = token == nullptr ? std::nullopt : model_->token_error(*token, first_on_disk());
  if (!follower) {
    say("a follower cannot begin: " + follower.error().message);
    bus_->detach_subscriber(*reader->attachment);
    if (expected == ErrorCode::rolled_back) ++totals_.rolled_back;
    const bool deleted = follower.error().code == ErrorCode::deleted && token && token->offset < first_on_disk();
    if (!disk && !deleted && expected != follower.error().code) {
      model_->fail("a follower cannot begin: " + follower.error().message);
    }
    return false;
  }
  const Offset begin = follower->position().offset;
  say("a follower at " + std::string(to_string(level)) + " from " + std::to_string(begin.value()));
  if (expected && !(expected == ErrorCode::rolled_back && token->offset == first_on_disk())) {
    model_->fail("a token that must be answered " + std::string(to_string(*expected)) + " was taken");
  }
  if (at && begin != *at) {
    model_->fail("a follower begins at offset " + std::to_string(begin.value()) + " instead of " +
                 std::to_string(at->value()));
  }
  reader->sight.next = begin;
  reader->subscriber = std::make_unique<Subscriber>(std::move(*follower), bus_->type());
  reader->subscriber->verify(false);
  readers_.push_back(std::move(reader));
  return true;
}

void Simulation::attach_readers() {
  if (!bus_->has_core()) return;
  for (const auto& reader : readers_) {
    if (reader->core == core_ || !reader->consumer.empty()) continue;
    if (reader->link->state() == SubscriberLink::State::attached && chance(30)) {
      reader->link->disconnect();
      continue;
    }
    reader->attachment = bus_->attach_subscriber();
    reader->core = core_;
    reader->link->replace(reader->attachment);
  }
}

void Simulation::poll() {
  for (std::size_t i = readers_.size(); i-- > 0;) {
    if (!readers_[i]->subscriber) continue;
    if (chance(readers_[i]->pace)) poll(*readers_[i], 1 + pick(60));
    const Follower* follower = readers_[i]->subscriber->follower();
    if (follower != nullptr && follower->error()) drop(i);
  }
}

void Simulation::poll(Reader& reader, std::size_t limit) {
  const std::uint64_t before = reader.sight.count;
  (void)reader.subscriber->poll(
      [&](const Event& event) {
        if (!model_->failed()) model_->seen(reader.sight, event);
      },
      limit);
  totals_.seen += reader.sight.count - before;
  const Follower* follower = reader.subscriber->follower();
  if (follower == nullptr) return;
  if (follower->position().offset != *reader.sight.next)
    model_->fail("a follower's position is not behind what it gave");
  if (!follower->error()) return;
  const Error& error = *follower->error();
  say("a follower stops at " + std::to_string(reader.sight.next->value()) + ": " + error.message);
  const bool disk = fault_ && files_.failed();
  bool deleted = false;
  with_whole_disk([&] {
    const auto log = wal::Reader::open(files_, options_.folder);
    deleted = error.code == (reader.consumer.empty() ? ErrorCode::deleted : ErrorCode::overrun) && log &&
              *reader.sight.next < log->first_offset();
  });
  if (!disk && !deleted) model_->fail("a follower stops: " + error.message);
}

void Simulation::drop_reader() {
  if (readers_.empty()) return;
  drop(pick(readers_.size()));
}

void Simulation::drop(std::size_t i) {
  Reader& reader = *readers_[i];
  const Follower* follower = reader.subscriber ? reader.subscriber->follower() : nullptr;
  if (!reader.consumer.empty()) {
    say("consumer " + reader.consumer + " is dropped");
    if (reader.claim && bus_->has_core()) bus_->detach_subscriber(*reader.claim);
  } else if (follower != nullptr) {
    totals_.heals += follower->heals();
    tokens_.push_back({reader.sight.level, follower->position()});
    say("a follower is dropped at " + std::to_string(follower->position().offset.value()) + " of run " +
        std::to_string(follower->position().run.value()));
  } else {
    say("a live reader is dropped");
  }
  reader.subscriber.reset();
  if (reader.attachment) bus_->detach_subscriber(*reader.attachment);
  readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(i));
}

void Simulation::resume() {
  if (tokens_.empty() || !bus_->has_core() || readers_.size() >= readers_max_) return;
  resume(pick(tokens_.size()));
}

void Simulation::resume(std::size_t i) {
  const Token token = tokens_[i];
  tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(i));
  ++totals_.resumes;
  if (open(token.level, token.position, token.position.offset)) return;
  if (fault_ && files_.failed()) tokens_.push_back(token);
}

}  // namespace millrace::simulation
