#include "bus/simulation/simulation.hpp"

#include <algorithm>
#include <cstdio>

#include "bus/simulation/actors.hpp"

namespace millrace::simulation {
namespace {

using namespace std::chrono_literals;

constexpr const char* folder = "log";

testing::MemoryBusOptions draw(std::mt19937_64& random, wal::FaultFileSystem& files, std::size_t readers_max) {
  const auto one_of = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  using ring::StallPolicy;
  using wal::SyncPolicy;
  testing::MemoryBusOptions options;
  options.folder = folder;
  options.streams = 1 + static_cast<std::uint32_t>(random() % 4);
  options.page_size = one_of(4096, 4096, 4096, 8192);
  options.grant_ahead = one_of(1, 1, 2, 4);
  // Pages are bounded by construction: one for each reader and the recorder, those granted, those unsynced, and two.
  const std::size_t slots = readers_max + 1 + options.grant_ahead + one_of(1, 2, 4, 16) + 2;
  options.ring_bytes = limits::memory_page + slots * options.page_size;
  options.order_capacity = static_cast<std::size_t>(one_of(2, 4, 8, 32, 1024));
  options.policy = one_of(StallPolicy::block, StallPolicy::block, StallPolicy::refuse, StallPolicy::live_only);
  options.log.segment_size = static_cast<std::uint64_t>(one_of(16, 20, 32, 64)) * 1024;
  options.log.policy = one_of(SyncPolicy::always, SyncPolicy::always, SyncPolicy::interval, SyncPolicy::none);
  options.log.interval = 3ms;
  options.log.linger = one_of(0ms, 1ms);
  options.log.linger_bytes = static_cast<std::uint64_t>(one_of(2048, 1 << 20));
  options.log.recycle = random() % 3 != 0;
  options.log.log_id = LogId{{7}};
  if (random() % 2 == 0) options.retention_bytes = options.log.segment_size * (2 + random() % 4);
  if (random() % 4 == 0) options.retention_age = 20ms;
  options.files = &files;
  return options;
}

}  // namespace

// A new kind of step is a function and a line here.
const std::vector<Simulation::Step> Simulation::steps = {
    {30, "publish", &Simulation::publish},
    {3, "begin batch", &Simulation::begin_batch},
    {4, "end batch", &Simulation::end_batch},
    {3, "idle", &Simulation::idle_process},
    {6, "start process", &Simulation::start_process},
    {10, "attach processes", &Simulation::attach_processes},
    {2, "kill process", &Simulation::kill_process},
    {4, "reap", &Simulation::reap},
    {6, "start reader", &Simulation::start_reader},
    {6, "attach readers", &Simulation::attach_readers},
    {20, "poll", &Simulation::poll},
    {8, "await", &Simulation::await},
    {5, "ask outcome", &Simulation::ask_outcome},
    {2, "drop reader", &Simulation::drop_reader},
    {5, "resume", &Simulation::resume},
    {4, "start consumer", &Simulation::start_consumer},
    {8, "admit consumers", &Simulation::admit_consumers},
    {8, "acknowledge", &Simulation::acknowledge},
    {5, "take store", &Simulation::take_store},
    {6, "run store", &Simulation::run_store},
    {6, "complete store", &Simulation::complete_store},
    {12, "record", &Simulation::record},
    {8, "take sync", &Simulation::take_sync},
    {8, "run sync", &Simulation::run_sync},
    {8, "complete sync", &Simulation::complete_sync},
    {10, "core round", &Simulation::core_round},
    {12, "grant", &Simulation::grant},
    {2, "prepare", &Simulation::prepare},
    {3, "retain", &Simulation::retain},
    {2, "kill core", &Simulation::kill_core},
    {8, "start core", &Simulation::start_core},
    {6, "reopen", &Simulation::reopen},
    {1, "kill host", &Simulation::kill_host},
    {2, "break disk", &Simulation::break_disk},
    {4, "heal disk", &Simulation::heal_disk},
    {10, "pass time", &Simulation::pass_time},
    {2, "audit", &Simulation::audit},
};

Simulation::Simulation(std::uint64_t seed, bool print) : random_(seed), print_(print) {
  readers_max_ = 1 + pick(5);
  options_ = draw(random_, files_, readers_max_);
  names_ = options_.streams + pick(2);
  core_lives_ = chance(30);
  files_.make_writes_short(chance(30));
  model_.emplace(options_.policy, options_.log.policy);
  bus_ = std::make_unique<testing::MemoryBus>(options_, clock_, testing::MemoryBus::WithoutCore{});
  say("streams " + std::to_string(options_.streams) + ", page " + std::to_string(options_.page_size) + ", ring " +
      std::to_string(options_.ring_bytes) + ", ahead " + std::to_string(options_.grant_ahead) + ", order " +
      std::to_string(options_.order_capacity) + ", stall policy " + std::to_string(static_cast<int>(options_.policy)) +
      ", segment " + std::to_string(options_.log.segment_size) + ", sync policy " +
      std::to_string(static_cast<int>(options_.log.policy)) + ", retention " +
      std::to_string(options_.retention_bytes) + " bytes " + std::to_string(options_.retention_age.count()) + " ns");
  start_core();
}

// Whatever reads the rings goes before them.
Simulation::~Simulation() {
  readers_.clear();
  processes_.clear();
  syncs_.clear();
}

void Simulation::say(std::string what) {
  if (print_) std::fprintf(stderr, "%4lu  %s\n", step_, what.c_str());
  trace_.push_back(std::to_string(step_) + "  " + std::move(what));
}

std::string Simulation::run() {
  unsigned weights = 0;
  for (const Step& step : steps) weights += step.weight;
  count_ = 150 + pick(350);
  for (step_ = 1; step_ <= count_ && !model_->failed(); ++step_) {
    std::uint64_t at = pick(weights);
    const Step* step = steps.data();
    while (at >= step->weight) at -= (step++)->weight;
    (this->*step->run)();
    check();
  }
  totals_.steps += step_ - 1;
  if (!model_->failed()) finish();
  return model_->violation();
}

bool Simulation::recording() const {
  return bus_->has_core() && bus_->recorder().state() != TopicRecorder::State::failed;
}

void Simulation::record() {
  if (!recording()) return;
  const std::uint64_t events = bus_->recorder().do_work(clock_.wall());
  if (events > 0) say("records " + std::to_string(events));
  if (!recording()) say("the topic failed: " + bus_->recorder().failure());
}

void Simulation::take_sync() {
  if (!recording()) return;
  const auto ticket = bus_->recorder().take_sync(clock_.monotonic(),
                                                 chance(30) ? TopicRecorder::Sync::now : TopicRecorder::Sync::when_due);
  if (!ticket) return;
  say("a sync up to " + std::to_string(ticket->end().value()) + " begins");
  syncs_.push_back({*ticket, std::nullopt});
}

void Simulation::run_sync() {
  const auto sync = std::find_if(syncs_.begin(), syncs_.end(), [](const Syncing& s) { return !s.status; });
  if (sync == syncs_.end()) return;
  if (step_ < count_ && chance(core_lives_ ? 10 : 2)) break_disk(1);
  sync->status = sync->ticket.run();
  say(*sync->status ? "the sync runs" : "the sync fails");
}

void Simulation::complete_sync() {
  if (syncs_.empty() || !syncs_.front().status) return;
  bus_->recorder().complete_sync(syncs_.front().ticket, *syncs_.front().status);
  syncs_.pop_front();
  say("the sync is complete, up to " + std::to_string(bus_->marks().topic.synced_end.load()));
}

void Simulation::core_round() {
  if (recording() && bus_->recorder().roll_waits_for_file()) (void)bus_->keep_house();
  record();
  take_sync();
  run_sync();
  complete_sync();
  grant();
  attach_processes();
}

void Simulation::grant() {
  if (bus_->has_core()) bus_->grant();
}

void Simulation::prepare() {
  if (recording()) (void)bus_->keep_house();
}

void Simulation::retain() {
  if (!recording()) return;
  const Offset before = bus_->recorder().first_offset();
  (void)bus_->keep_house();
  const Offset first = bus_->recorder().first_offset();
  if (first != before) say("the log begins at " + std::to_string(first.value()));
  if (first < before) model_->fail("the log's first offset went back");
}

void Simulation::kill_core() {
  // A topic that failed is closed until it is reopened, or its core is started again.
  if (!bus_->has_core() || (recording() && chance(50)) || (core_lives_ && step_ < count_)) return;
  say("the core dies");
  ++totals_.core_deaths;
  forget_work();
  dead_streams_.clear();
  bus_->kill_core();
}

void Simulation::start_core() {
  if (bus_->has_core()) {
    if (recording() || (step_ < count_ && (core_lives_ || chance(50)))) return;
    kill_core();
  }
  const Status started = bus_->start_core();
  for (; runs_known_ < bus_->runs().size(); ++runs_known_) {
    const auto& [run, begin] = bus_->runs()[runs_known_];
    say("run " + std::to_string(run.value()) + " begins at " + std::to_string(begin.value()));
    model_->run_began(run, begin);
    expect_rolled_back(begin);
  }
  if (!started) {
    say("no core: " + started.error().message);
    if (!(fault_ && files_.failed())) model_->fail("no core can start: " + started.error().message);
    return;
  }
  ++core_;
  const wal::Writer& log = bus_->recorder().log();
  for (const auto& corruption : log.recovered().corruptions) model_->fail(corruption.message());
  model_->core_started(log.next_offset());
  say("core " + std::to_string(core_) + " stands at " + std::to_string(log.next_offset().value()));
  count_from_here();
}

void Simulation::count_from_here() {
  const TopicRecorder& recorder = bus_->recorder();
  const wal::Writer& log = bus_->recorder().log();
  counted_end_ = Offset(bus_->marks().topic.recorded_end.load());
  counted_events_ = recorder.counters().events;
  counted_not_recorded_ = recorder.counters().not_recorded;
  with_whole_disk([&] { counted_gaps_ = model_->audit(files_, folder, log.next_offset(), log.run()); });
}

void Simulation::reopen() {
  if (!bus_->has_core() || recording()) return;
  const wal::Writer& log = bus_->recorder().log();
  const Run before(bus_->marks().topic.run.load());
  const Status reopened = bus_->reopen();
  const Run run(bus_->marks().topic.run.load());
  if (run != before || reopened) {
    say("the topic is reopened in run " + std::to_string(run.value()) + ", synced up to " +
        std::to_string(log.synced_end().value()));
    const bool held = !may_lose(options_.policy, options_.log.policy);  // the pages hold what is not synced
    const Offset begin(bus_->marks().topic.run_begin.load());
    model_->reopened(run, begin, held);
    if (run != before) expect_rolled_back(begin);
  }
  if (!reopened) {
    say("the topic stays closed: " + reopened.error().message);
    model_->reopening_failed();
    if (!(fault_ && files_.failed())) model_->fail("a topic cannot be reopened: " + reopened.error().message);
    return;
  }
  ++totals_.reopened;
  count_from_here();
}

// By the readers that have seen more than stands.
void Simulation::expect_rolled_back(Offset begin) {
  for (const auto& reader : readers_) {
    Sight& sight = reader->sight;
    if (sight.level == Level::recorded && *sight.next > begin) sight.void_from = begin;
  }
}

void Simulation::forget_work() {
  syncs_.clear();
  store_.reset();
  stored_.reset();
}

void Simulation::kill_host() {
  if (core_lives_ && step_ < count_) return;
  if (bus_->has_core()) audit();  // what must survive is looked at once more
  say("the host dies");
  ++totals_.host_deaths;
  while (!readers_.empty()) drop(readers_.size() - 1);
  processes_.clear();
  dead_streams_.clear();
  forget_work();
  if (bus_->has_core()) bus_->kill_core();
  bus_.reset();
  heal_disk();
  files_.crash(random_());
  model_->host_died();
  runs_known_ = 0;
  bus_ = std::make_unique<testing::MemoryBus>(options_, clock_, testing::MemoryBus::WithoutCore{});
}

void Simulation::break_disk() {
  break_disk(40);
}

// One of the next `within` operations fails.
void Simulation::break_disk(std::uint64_t within) {
  if (fault_) return;
  fault_ = Fault{pick(within), chance(40) ? ErrorCode::no_space : ErrorCode::io_failed, chance(40)};
  say("operation " + std::to_string(fault_->at) + " of the disk will fail with " +
      std::string(to_string(fault_->code)) + (fault_->forever ? ", and all behind it" : ""));
  files_.fail_at(fault_->at, fault_->code, fault_->forever);
}

void Simulation::heal_disk() {
  if (!fault_) return;
  if (files_.failed()) ++totals_.disk_failures;
  say("the disk is whole");
  files_.heal();
  fault_.reset();
}

void Simulation::with_whole_disk(const std::function<void()>& work) {
  if (!fault_) return work();
  const std::uint64_t done = files_.operations();
  const bool failed = files_.failed();
  files_.heal();
  work();
  if (failed && !fault_->forever) return;  // it came true: nothing fails any more
  fault_->at -= std::min(fault_->at, done);
  files_.fail_at(fault_->at, fault_->code, fault_->forever);
}

void Simulation::pass_time() {
  clock_.advance(std::chrono::nanoseconds(1000 + pick(chance(10) ? 50'000'000 : 2'000'000)));
}

// A topic that failed may have written more than it knows.
void Simulation::audit() {
  if (!recording()) return;
  const TopicRecorder& recorder = bus_->recorder();
  const wal::Writer& log = bus_->recorder().log();
  with_whole_disk([&] {
    const std::uint64_t gaps = model_->audit(files_, folder, log.next_offset(), log.run());
    const bool whole = options_.retention_bytes == 0 && options_.retention_age == 0ns;
    const std::uint64_t counted = counted_gaps_ + recorder.counters().not_recorded - counted_not_recorded_;
    if (whole && gaps != counted) {
      model_->fail("the log gives up " + std::to_string(gaps) + " events, counted were " + std::to_string(counted));
    }
  });
}

// What must be true after every step.
void Simulation::check() {
  for (const auto& process : processes_) follow(*process);
  if (!bus_->has_core()) return;
  const TopicRecorder& recorder = bus_->recorder();
  const ring::TopicMarks& marks = bus_->marks().topic;
  const Offset recorded_end(marks.recorded_end.load());
  model_->topic_marks(recorded_end, Offset(marks.synced_end.load()));
  const TopicRecorder::Counters& counters = recorder.counters();
  if (counted_end_ + (counters.events - counted_events_) != recorded_end) {
    model_->fail("the recorder counts its events wrong");
  }
  for (const Consumers::View& view : bus_->consumers().list()) {
    const ring::ConsumerMark* mark = bus_->marks().find_consumer(key_of(view.record.name));
    if (mark != nullptr) model_->consumer_mark(view.record.name, Offset(mark->acked.load()));
  }
  for (const std::string& reason : recorder.stopped()) {
    if (!reason.empty()) model_->fail("an honest publisher was stopped: " + reason);
  }
  if (counters.malformed > 0) model_->fail("a malformed frame");
  const bool poisoned = bus_->recorder().log().failure().has_value();
  if (poisoned && recorder.state() != TopicRecorder::State::failed) {
    model_->fail("the log is closed for good and its topic is not");
  }
  if (marks.failed() != (recorder.state() == TopicRecorder::State::failed)) {
    model_->fail("the watermarks say wrong whether the topic failed");
  }
}

}  // namespace millrace::simulation
