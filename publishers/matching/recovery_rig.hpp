// For tests: an exchange in memory whose engine can be killed at every step. Four topics over a disk that loses what
// was not synced, one engine on them as millrace-matching has it, and a list of the points at which it dies.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/testing/memory_bus.hpp"
#include "publishers/matching/random.hpp"
#include "publishers/matching/recovery.hpp"
#include "publishers/matching/service.hpp"
#include "publishers/matching/snapshots.hpp"
#include "publishers/matching/topic_source.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::matching {

// Thrown where the engine dies.
struct Killed {};

// A step of the engine: of this order, stage 0 is that it was taken; 2n + 1 that its output n was made, 2n + 2 that it
// was published. The same in every life.
struct Point {
  std::uint64_t order = 0;
  std::uint64_t stage = 0;
  auto operator<=>(const Point&) const = default;
};
using OnPoint = std::function<void(Point)>;

// An order, then a moment with nothing to do, in which snapshots are written.
class SteppedSource final : public OrderSource {
 public:
  SteppedSource(TopicSource& source, OnPoint on_point) : source_(source), on_point_(std::move(on_point)) {}

  std::optional<SourcedOrder> next() override {
    if (pause_ > 0) return --pause_, std::nullopt;
    const auto order = source_.next();
    if (!order) return std::nullopt;
    pause_ = 2;
    on_point_({order->cause->value(), 0});
    return order;
  }
  std::optional<Error> error() const override { return source_.error(); }
  bool at_end() const override { return source_.at_end(); }

 private:
  TopicSource& source_;
  OnPoint on_point_;
  int pause_ = 0;
};

class SteppedOutlet final : public Outlet {
 public:
  SteppedOutlet(BusOutlet& outlet, OnPoint on_point) : outlet_(outlet), on_point_(std::move(on_point)) {}

  PublishStatus publish(const Venue& venue, const Output& output, std::optional<Offset> cause) override {
    const auto at = static_cast<std::uint64_t>(&output - venue.outputs().data());
    on_point_({cause->value(), 2 * at + 1});
    const auto status = outlet_.publish(venue, output, cause);
    if (status == PublishStatus::ok) on_point_({cause->value(), 2 * at + 2});
    return status;
  }
  Error error() const override { return outlet_.error(); }
  std::optional<Error> unexplained() const override { return outlet_.unexplained(); }
  void idle() override { outlet_.idle(); }

 private:
  BusOutlet& outlet_;
  OnPoint on_point_;
};

// The disk as a process that dies between two operations leaves it; of a write it may leave half.
class KillingFiles final : public wal::FileSystem {
 public:
  using OnOperation = std::function<void()>;  // may throw Killed
  KillingFiles(wal::FileSystem& files, OnOperation on_operation)
      : files_(files), on_operation_(std::move(on_operation)) {}

  Result<std::unique_ptr<wal::File>> open(const std::string& path, wal::OpenMode mode) override {
    return files_.open(path, mode);
  }
  Result<std::unique_ptr<wal::File>> create(const std::string& path) override {
    on_operation_();
    auto file = files_.create(path);
    if (!file) return file;
    return std::make_unique<KillingFile>(std::move(*file), on_operation_);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return on_operation_(), files_.rename(from, to);
  }
  Status unlink(const std::string& path) override { return on_operation_(), files_.unlink(path); }
  Status make_folder(const std::string& path) override { return files_.make_folder(path); }
  Status sync_folder(const std::string& path) override { return on_operation_(), files_.sync_folder(path); }
  Result<std::vector<std::string>> list(const std::string& folder) override { return files_.list(folder); }

 private:
  class KillingFile final : public wal::File {
   public:
    KillingFile(std::unique_ptr<wal::File> file, const OnOperation& on_operation)
        : file_(std::move(file)), on_operation_(on_operation) {}
    Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t at) override { return file_->pread(into, at); }
    Result<std::size_t> pwrite(wal::Bytes head, wal::Bytes body, std::uint64_t at) override {
      on_operation_();
      if (head.size() > 1 && body.empty()) head = head.first(head.size() / 2);
      return file_->pwrite(head, body, at);
    }
    Status sync() override { return on_operation_(), file_->sync(); }
    Status allocate(std::uint64_t size) override { return file_->allocate(size); }
    Status discard(std::uint64_t from) override { return file_->discard(from); }
    Result<std::uint64_t> size() override { return file_->size(); }
    Result<bool> try_lock(wal::LockMode mode) override { return file_->try_lock(mode); }
    void unlock() override { file_->unlock(); }
    int native_fd() const override { return -1; }

   private:
    std::unique_ptr<wal::File> file_;
    const OnOperation& on_operation_;
  };

  wal::FileSystem& files_;
  OnOperation on_operation_;
};

// What of an event must be the same in whatever life it was made.
struct Recorded {
  Sequence sequence;
  std::optional<Cause> cause;
  std::vector<std::byte> payload;
  bool operator==(const Recorded&) const = default;
};
using OutputLogs = std::array<std::vector<Recorded>, kOutputTopics>;

struct RigOptions {
  std::vector<InstrumentConfig> instruments;
  std::uint64_t snapshot_every = 10;  // orders
  std::size_t segment_size = 256 << 10;
  std::size_t page_size = 4096;
};

class RecoveryRig {
 public:
  // What dies: the engine alone; or with it the core and the disk's unsynced blocks, as in a power cut.
  enum class Death { engine, host };

  explicit RecoveryRig(RigOptions options) : options_(std::move(options)) {
    orders_ = bus("orders");
    open_outputs();
  }

  // Published before any engine lives, and synced. `write` as Publisher::publish<OrderCommand> takes it.
  template <class Write>
  void publish_order(Write&& write) {
    if (order_publisher_ == nullptr) order_publisher_ = orders_->publisher("flow");
    while (!order_publisher_->publish<schemas::OrderCommand>(write)) orders_->step();
    ++order_count_;
  }
  void orders_done() { orders_->settle(); }

  // Lives of an engine, until all orders are carried out and everything is recorded. Each of `kills`, in order, ends
  // one; with `kill_in_snapshots` so does each operation of each snapshot's writing. Between two steps the topics'
  // recorders do, one here and one there, what `seed` says.
  void run(const std::vector<Point>& kills, Death death, std::uint64_t seed, bool kill_in_snapshots = false) {
    Random random(seed);
    std::size_t next_kill = 0;
    std::uint64_t snapshot_operation = 0;  // the one at which the next snapshot is killed
    std::uint64_t operation = 0;
    const auto at_point = [&](Point point) {
      if (next_kill < kills.size() && point == kills[next_kill]) {
        ++next_kill;
        throw Killed();
      }
      points.push_back(point);
    };
    KillingFiles files(disk, [&] {
      if (kill_in_snapshots && operation++ == snapshot_operation) {
        ++snapshot_operation;
        throw Killed();
      }
    });
    // One was written whole: the next is killed from its first operation again.
    on_snapshot_ = [&] { operation = snapshot_operation = 0; };
    while (true) {
      try {
        operation = 0;
        start(at_point, files);
        if (::testing::Test::HasFatalFailure()) return;
        live(random);
        break;
      } catch (const Killed&) {
        ++deaths;
        die(death, random.bits());
      }
    }
    on_snapshot_ = [] {};
    EXPECT_EQ(next_kill, kills.size()) << "a kill that never came proves nothing";
    die(Death::engine, 0);
  }

  // A life without an end of its own, to be stepped by hand.
  void start(const OnPoint& on_point, wal::FileSystem& files) {
    if (++lives_ % 256 == 0) {  // readers' memory is given back only by the core's end
      order_publisher_.reset();
      orders_.reset();
      orders_ = bus("orders");
    }
    const auto begun = engine_.emplace().begin(*this, on_point, files);
    ASSERT_TRUE(begun) << begun.error().message;
  }
  // The same, where the engine may refuse.
  [[nodiscard]] Status try_start() { return engine_.emplace().begin(*this, no_point_, disk); }
  void step() {
    clock.advance(std::chrono::microseconds(10));
    (void)engine_->service->do_work(clock.monotonic());
  }
  [[nodiscard]] Service& service() { return *engine_->service; }
  [[nodiscard]] Snapshots& snapshots() { return *engine_->snapshots; }
  [[nodiscard]] BusOutlet& outlet() { return *engine_->outlet; }
  [[nodiscard]] Snapshot snapshot_now() {
    StateWriter state;
    engine_->venue->save(state);
    return {engine_->source->position(), engine_->outlet->made(), state.take()};
  }
  [[nodiscard]] testing::MemoryBus& output(std::size_t topic) { return *outputs_[topic]; }
  [[nodiscard]] testing::MemoryBus& orders() { return *orders_; }
  [[nodiscard]] RigOptions& options() { return options_; }
  [[nodiscard]] std::uint64_t order_count() const { return order_count_; }

  void lose_snapshots() {
    const auto names = disk.list("/snapshots");
    ASSERT_TRUE(names);
    for (const auto& name : *names) ASSERT_TRUE(disk.unlink("/snapshots/" + name));
  }
  // As retention would, or whoever loses a log.
  void delete_first_orders() {
    for (std::uint64_t i = 0; orders_->recorder().first_offset() == Offset(0) && i < 1000; ++i) {
      publish_order([](schemas::OrderCommand&) {});
      orders_->settle();
      ASSERT_TRUE(orders_->recorder().log().retain(1));
    }
  }
  void begin_another_log_of_orders() {
    order_publisher_.reset();
    orders_.reset();
    const auto names = disk.list(folder("orders"));
    ASSERT_TRUE(names);
    for (const auto& name : *names) ASSERT_TRUE(disk.unlink(folder("orders") + "/" + name));
    ++logs_of_orders_;
    orders_ = bus("orders");
  }

  void die(Death death, std::uint64_t seed) {
    engine_.reset();
    if (death == Death::engine) {
      for (auto& output : outputs_) output->publisher_died("matching");
      return;
    }
    order_publisher_.reset();
    orders_.reset();
    for (auto& output : outputs_) output.reset();
    disk.crash(seed);
    orders_ = bus("orders");
    open_outputs();
  }

  [[nodiscard]] OutputLogs logs() {
    OutputLogs logs;
    for (std::size_t i = 0; i < kOutputTopics; ++i) {
      outputs_[i]->settle();
      auto log = wal::Reader::open(disk, folder(kOutputTopicNames[i]));
      EXPECT_TRUE(log);
      for (auto batch = log->next(); batch && *batch; batch = log->next()) {
        wal::EventCursor events(**batch);
        while (const auto event = events.next()) {
          const auto& frame = event->frame;
          std::optional<Cause> cause;
          if (frame.cause()) cause = Cause(*frame.cause(), frame.cause_index());
          logs[i].push_back({frame.sequence(), cause, {frame.payload().begin(), frame.payload().end()}});
        }
      }
    }
    return logs;
  }

  wal::FaultFileSystem disk;
  ManualClock clock;
  std::vector<Point> points;  // that were passed
  std::uint64_t deaths = 0;
  std::uint64_t snapshots_written = 0;
  std::uint64_t snapshots_rejected = 0;

 private:
  // What a process that dies takes with it.
  struct Engine {
    Status begin(RecoveryRig& rig, const OnPoint& on_point, wal::FileSystem& files) {
      for (std::size_t i = 0; i < kOutputTopics; ++i) publishers[i] = rig.outputs_[i]->publisher("matching");
      outlet.emplace(BusOutlet::Publishers{*publishers[0], *publishers[1], *publishers[2]});
      auto opened = SnapshotStore::open(files, "/snapshots");
      if (!opened) return fail(opened.error());
      store.emplace(std::move(*opened));
      const auto snapshot =
          store->newest(outlet->recorded(), [&](const std::string&, const Error&) { ++rig.snapshots_rejected; });
      if (!snapshot) return fail(snapshot.error());
      auto subscribed = rig.orders_->subscribe(Level::synced, start_of(*snapshot));
      if (!subscribed) return fail(cannot_come_back(subscribed.error(), *snapshot));
      subscriber = std::move(*subscribed);
      source.emplace(*subscriber);
      auto again = venue_again(rig.options_.instruments, source->position().log_id, *snapshot);
      if (!again) return fail(again.error());
      venue = std::move(*again);
      std::array<OutputLog, kOutputTopics> logs;
      for (std::size_t i = 0; i < kOutputTopics; ++i) {
        logs[i] = {rig.folder(kOutputTopicNames[i]), publishers[i]->id()};
      }
      auto last = last_ones(rig.disk, logs);
      if (!last) return fail(last.error());
      outlet->make_again_from(*snapshot ? (*snapshot)->outputs : OutputSequences{}, std::move(*last));
      const auto at_once = [&rig](const Snapshots::Job& job) {
        std::promise<Status> done;
        const auto status = job();
        if (status) {
          ++rig.snapshots_written;
          rig.on_snapshot_();
        }
        done.set_value(status);
        return done.get_future();
      };
      snapshots.emplace(Snapshots::Engine{*venue, *source, *outlet}, *store, source->position().offset,
                        SnapshotPolicy{rig.options_.snapshot_every, std::chrono::hours(1)}, at_once);
      stepped_source.emplace(*source, on_point);
      stepped_outlet.emplace(*outlet, on_point);
      service.emplace(*venue, *stepped_source, *stepped_outlet, &*snapshots);
      return {};
    }

    std::array<std::unique_ptr<Publisher>, kOutputTopics> publishers;
    std::optional<BusOutlet> outlet;
    std::optional<SnapshotStore> store;
    std::unique_ptr<Subscriber> subscriber;
    std::optional<TopicSource> source;
    std::unique_ptr<Venue> venue;
    std::optional<Snapshots> snapshots;
    std::optional<SteppedSource> stepped_source;
    std::optional<SteppedOutlet> stepped_outlet;
    std::optional<Service> service;
  };

  [[nodiscard]] static std::string folder(const std::string& topic) { return "/log/" + topic; }
  [[nodiscard]] std::unique_ptr<testing::MemoryBus> bus(const std::string& topic) {
    testing::MemoryBusOptions options;
    options.folder = folder(topic);
    options.type = topic;
    options.page_size = options_.page_size;
    options.log.segment_size = options_.segment_size;
    options.log.log_id = LogId{{static_cast<std::uint8_t>(logs_of_orders_)}};  // the same in every rig
    options.files = &disk;
    return std::make_unique<testing::MemoryBus>(options, clock);
  }
  void open_outputs() {
    for (std::size_t i = 0; i < kOutputTopics; ++i) outputs_[i] = bus(kOutputTopicNames[i]);
  }

  // Until every order is carried out and every output is out.
  void live(Random& random) {
    while (engine_->source->position().offset < Offset(order_count_) || service().waiting() > 0) {
      step();
      ASSERT_FALSE(service().error()) << service().error()->message;
      const auto dice = random.below(8);
      if (dice < kOutputTopics) outputs_[dice]->step();
      if (dice == kOutputTopics) {
        for (auto& output : outputs_) output->settle();
      }
    }
  }

  RigOptions options_;
  OnPoint no_point_ = [](Point) {};
  std::function<void()> on_snapshot_ = [] {};
  std::unique_ptr<testing::MemoryBus> orders_;
  std::array<std::unique_ptr<testing::MemoryBus>, kOutputTopics> outputs_;
  std::unique_ptr<Publisher> order_publisher_;
  std::uint64_t order_count_ = 0;
  std::uint64_t lives_ = 0;
  int logs_of_orders_ = 1;
  std::optional<Engine> engine_;
};

}  // namespace millrace::matching
