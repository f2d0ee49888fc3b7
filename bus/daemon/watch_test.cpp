// Proves how a core judges with its disk's real threads at work: a disk that stands still, in a write or in a sync, is
// disk_stalled and ok again; a publisher is judged by what it does, never by what the disk does; and time in which the
// watching thread did not run is held against nobody.
#include "bus/daemon/watch.hpp"

#include <gtest/gtest.h>
#include <pthread.h>

#include <condition_variable>

#include "bus/base/idle.hpp"
#include "bus/base/temporary_folder.hpp"
#include "bus/daemon/status_report.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::ConsumerState;
using control::PublisherState;
using control::TopicState;

// The real disk, until it is told to stand still: then a call of that kind waits inside.
class StallingFiles final : public wal::FileSystem {
 public:
  enum class Call { none, write, sync };

  void stall(Call call) {
    const std::lock_guard lock(mutex_);
    stalled_ = call;
    changed_.notify_all();
  }
  void wait_for_call() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    return wrap(disk_.open(path, mode));
  }
  Result<std::unique_ptr<wal::File>> create(const std::string& path) override { return wrap(disk_.create(path)); }
  Status rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Status unlink(const std::string& path) override { return disk_.unlink(path); }
  Status make_folder(const std::string& path) override { return disk_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return disk_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return disk_.list(folder); }

 private:
  class StallingFile final : public wal::File {
   public:
    StallingFile(StallingFiles& files, std::unique_ptr<wal::File> file) : files_(files), file_(std::move(file)) {}
    Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override { return file_->pread(into, at); }
    Result<std::size_t> pwrite(wal::Bytes head, wal::Bytes body, std::uint64_t at) override {
      files_.pass(Call::write);
      return file_->pwrite(head, body, at);
    }
    Status sync() override {
      files_.pass(Call::sync);
      return file_->sync();
    }
    Status allocate(std::uint64_t size) override { return file_->allocate(size); }
    Status discard(std::uint64_t from) override { return file_->discard(from); }
    Result<std::uint64_t> size() override { return file_->size(); }
    Result<bool> try_lock(wal::LockMode mode) override { return file_->try_lock(mode); }
    void unlock() override { file_->unlock(); }
    [[nodiscard]] int native_fd() const override { return file_->native_fd(); }

   private:
    StallingFiles& files_;
    std::unique_ptr<wal::File> file_;
  };

  Result<std::unique_ptr<wal::File>> wrap(Result<std::unique_ptr<wal::File>> file) {
    if (!file) return file;
    return std::unique_ptr<wal::File>(std::make_unique<StallingFile>(*this, std::move(*file)));
  }
  // What only housekeeping waits for holds nobody up: it is let through.
  void pass(Call call) {
    char thread[16] = "";
    ::pthread_getname_np(::pthread_self(), thread, sizeof thread);
    if (std::string_view(thread) == "housekeeping") return;
    std::unique_lock lock(mutex_);
    if (stalled_ != call) return;
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return stalled_ != call; });
    --waiting_;
  }

  wal::PosixFileSystem disk_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Call stalled_ = Call::none;
  int waiting_ = 0;
};

// One topic of a core, with a publisher; the control thread is this one, and its clock is turned by hand.
class WatchTest : public ::testing::Test {
 protected:
  WatchTest() {
    config_.runtime_dir = folder_.path();
    config_.heartbeat_interval = 1s;
    config_.heartbeat_timeout = 2s;
    TopicConfig topic;
    topic.name = topic.type = "trade_events";
    topic.ring_bytes = 256 * 1024;
    topic.page_bytes = 4096;
    topic.readers = 4;
    topic.grant_ahead = 4;
    topic.unsynced_max = 4;
    config_.topics = {topic};
    memory_ = *Mapping::anonymous(topic.ring_bytes);
    auto log = wal::Writer::open(files_, folder_.path() + "/log", topic.log, clock_.wall());
    EXPECT_TRUE(log) << log.error().message;
    auto made = Topic::create(config_.topics[0], *registry_.find("trade_events"), {{memory_.bytes(), 0}},
                              std::move(*log), folder_.path() + "/log", {});
    EXPECT_TRUE(made) << made.error().message;
    topics_.push_back(std::move(*made));
    disk_.emplace(std::vector<TopicRecorder*>{&topics_[0]->recorder()}, clock_, std::make_unique<BackOffIdle>(),
                  std::nullopt);
    server_.emplace(std::move(*control::Server::open(config_.socket_path(), 0600, {})));
    watch_.emplace(config_, topics_, *disk_, *server_, health_, Incarnation{});
    disk_->start();
    attach();
  }
  ~WatchTest() override { files_.stall(StallingFiles::Call::none); }

  void attach() {
    Stream& stream = topics_[0]->streams()[0];
    stream.owner.phase = Owner::Phase::admitting;
    disk_->submit({1, 0, 0, stream.pages->first_page(), "maker", Incarnation{random_uuid_bytes()}});
    std::optional<Admitted> admitted;
    BackOffIdle idle;
    while (!(admitted = disk_->take_admitted())) idle.idle(0);
    ASSERT_TRUE(admitted->result);
    stream.pages->assign(admitted->result->publisher, admitted->result->epoch);
    stream.owner.phase = Owner::Phase::writing;
    stream.owner.incarnation = Incarnation{random_uuid_bytes()};
    stream.owner.name = "maker";
    stream.owner.progress_seen = clock_.monotonic();
    writer_.emplace(stream.pages->ring(), stream.pages->first_page(), Sequence(1));
    step();
  }
  // One event; false if there is no page for it.
  bool publish() {
    static const schemas::EventTemplate<schemas::TradeEvent> trade;
    const auto claim = writer_->claim(trade.bytes().size());
    if (claim.status != ring::ClaimStatus::ok) return false;
    (void)trade.instantiate(claim.payload);
    writer_->commit({schemas::Family<schemas::TradeEvent>::id, Key(), 0, clock_.wall()});
    return true;
  }
  void step() {
    topics_[0]->do_work();
    watch_->do_work(clock_.monotonic());
  }
  // Time goes by, and the control thread runs.
  void pass(std::chrono::nanoseconds time) {
    for (; time > 0ns; time -= 50ms) {
      clock_.advance(50ms);
      step();
    }
  }
  // The disk's threads get done what they are at.
  void until(TopicState state) {
    BackOffIdle idle;
    for (int i = 0; i < 100'000 && watch_->topic(0).state != state; ++i) {
      idle.idle(0);
      pass(50ms);
    }
    EXPECT_EQ(watch_->topic(0).state, state);
  }
  [[nodiscard]] Owner& owner() { return topics_[0]->streams()[0].owner; }
  // Those of a report that concern `subject`. (To this clock a round of the disk may take long at any time.)
  [[nodiscard]] std::vector<std::string> reasons(const std::string& subject) {
    std::vector<std::string> all = report_topics(topics_, *disk_, *watch_).reasons;
    std::erase_if(all, [&](const std::string& reason) { return !reason.starts_with(subject); });
    return all;
  }

  TemporaryFolder folder_;
  ManualClock clock_;
  schemas::Registry registry_ = schemas::Registry::built_in();
  StallingFiles files_;
  Config config_;
  Mapping memory_;
  std::vector<std::unique_ptr<Topic>> topics_;
  std::optional<Disk> disk_;
  std::optional<control::Server> server_;
  HealthJournal health_{clock_};
  std::optional<Watch> watch_;
  std::optional<ring::Writer> writer_;
};

class DiskStall : public WatchTest, public ::testing::WithParamInterface<StallingFiles::Call> {};

TEST_P(DiskStall, IsAStateOfTheTopicAndPasses) {
  EXPECT_EQ(watch_->topic(0).state, TopicState::ok);
  files_.stall(GetParam());
  ASSERT_TRUE(publish());
  // The sync is due once the event is recorded and the linger is over.
  std::jthread time([&](const std::stop_token& stop) {
    BackOffIdle idle;
    while (!stop.stop_requested()) idle.idle(0), clock_.advance(10us);
  });
  files_.wait_for_call();
  time.request_stop();
  time.join();
  step();
  pass(900ms);
  EXPECT_EQ(watch_->topic(0).state, TopicState::ok) << "not yet longer than an interval";
  pass(500ms);
  EXPECT_EQ(watch_->topic(0).state, TopicState::disk_stalled);
  EXPECT_NE(watch_->topic(0).reason.find("one disk operation has taken 1"), std::string::npos)
      << watch_->topic(0).reason;
  EXPECT_EQ(reasons("topic trade_events: one disk operation").size(), 1u);
  files_.stall(StallingFiles::Call::none);
  until(TopicState::ok);
  EXPECT_EQ(watch_->topic(0).reason, "");
}

INSTANTIATE_TEST_SUITE_P(Calls, DiskStall, ::testing::Values(StallingFiles::Call::write, StallingFiles::Call::sync),
                         [](const auto& call) { return call.param == StallingFiles::Call::write ? "write" : "sync"; });

TEST_F(WatchTest, APublisherIsJudgedByWhatItDoesAndNotByTheDisk) {
  files_.stall(StallingFiles::Call::write);
  ASSERT_TRUE(publish());
  files_.wait_for_call();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(publish());
    pass(100ms);
  }
  EXPECT_EQ(owner().state, PublisherState::healthy) << "it publishes, though nothing is recorded";
  while (publish()) topics_[0]->do_work();
  pass(20s);
  EXPECT_EQ(owner().state, PublisherState::healthy) << "it has no page to write to";
  EXPECT_EQ(watch_->topic(0).state, TopicState::disk_stalled);
}

TEST_F(WatchTest, AnIdlePublisherIsDegradedAfterOneTimeoutAndFailedAfterTwo) {
  pass(2s);
  EXPECT_EQ(owner().state, PublisherState::healthy);
  pass(100ms);
  EXPECT_EQ(owner().state, PublisherState::degraded);
  EXPECT_EQ(owner().reason, "no progress for 2050 ms");
  pass(2s);
  EXPECT_EQ(owner().state, PublisherState::failed);
  EXPECT_EQ(reasons("publisher maker of trade_events: no progress for 4").size(), 1u);
  writer_->line().progress.store(1);
  pass(50ms);
  EXPECT_EQ(owner().state, PublisherState::healthy) << "one that says that it lives";
  EXPECT_TRUE(reasons("publisher").empty());
}

TEST_F(WatchTest, OneThatWasAwayIsJudgedFromItsReturn) {
  pass(10s);
  EXPECT_EQ(owner().state, PublisherState::failed);
  owner().connected = false;
  watch_->set_state(*topics_[0], owner(), PublisherState::disconnected, schemas::HealthReason::connection_lost);
  pass(10s);
  EXPECT_EQ(owner().state, PublisherState::disconnected);
  owner().connected = true;
  watch_->set_state(*topics_[0], owner(), PublisherState::healthy, schemas::HealthReason::recovered);
  pass(2s);
  EXPECT_EQ(owner().state, PublisherState::healthy);
}

TEST_F(WatchTest, TimeInWhichTheWatchItselfDidNotRunIsHeldAgainstNobody) {
  ASSERT_TRUE(topics_[0]->subscribe(7, {.client = {}, .name = "reader", .level = Level::live, .fd = {}, .page = {}}));
  const_cast<ring::Word&>(topics_[0]->subscriptions().at(7).words().state.progress).store(1);
  pass(100ms);
  EXPECT_EQ(watch_->consumer(7).state, ConsumerState::live);
  files_.stall(StallingFiles::Call::write);
  ASSERT_TRUE(publish());
  files_.wait_for_call();
  for (int i = 0; i < 3; ++i) {
    clock_.advance(10s);  // stopped, and its host with it
    step();
    pass(900ms);
    EXPECT_EQ(owner().state, PublisherState::healthy);
    EXPECT_EQ(watch_->topic(0).state, TopicState::ok) << watch_->topic(0).reason;
    EXPECT_EQ(watch_->consumer(7).state, ConsumerState::live);
  }
  pass(1200ms);
  EXPECT_EQ(owner().state, PublisherState::degraded) << "from then on time counts again";
  EXPECT_EQ(watch_->topic(0).state, TopicState::disk_stalled);
}

TEST_F(WatchTest, AStalledSubscriptionIsAReasonAndALaggingOneIsNot) {
  config_.lag_limit = 10;
  ASSERT_TRUE(
      topics_[0]->subscribe(7, {.client = {}, .name = "reader", .level = Level::recorded, .fd = {}, .page = {}}));
  auto& words = const_cast<ring::SubscriberPage&>(topics_[0]->subscriptions().at(7).words()).state;
  const auto polls = [&] { words.progress.fetch_add(1), writer_->line().progress.fetch_add(1), pass(50ms); };
  polls();
  EXPECT_EQ(watch_->consumer(7).state, ConsumerState::live);
  for (int i = 0; i < 11; ++i) ASSERT_TRUE(publish());
  BackOffIdle idle;
  while (topics_[0]->marks().topic.recorded_end.load() < 11) idle.idle(0);
  polls();
  EXPECT_EQ(watch_->consumer(7).state, ConsumerState::lagging);
  EXPECT_EQ(watch_->consumer(7).reason, "11 events behind; the limit is 10");
  EXPECT_TRUE(reasons("subscriber").empty());
  for (int i = 0; i < 100; ++i) writer_->line().progress.fetch_add(1), pass(50ms);
  EXPECT_EQ(watch_->consumer(7).state, ConsumerState::stalled);
  EXPECT_EQ(reasons("subscriber reader of trade_events: has read nothing for ").size(), 1u);
  words.position.store(11);
  polls();
  EXPECT_EQ(watch_->consumer(7).state, ConsumerState::live);
  EXPECT_TRUE(reasons("subscriber").empty());
}

}  // namespace
}  // namespace millrace::daemon
