// A publisher that writes whatever it likes into its own ring: page headers, directory and frames, at any moment
// between the steps of the core and of readers. It may spoil what is its own. It neither crashes nor stops anybody
// else, and nobody takes a word of it for another's: an honest publisher's events, and those of one that gets the ring
// after it, come once, in order and unchanged, at every level and in the log.
//
// Input: a program of operations, one byte each, with their arguments behind them.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

#include "bus/base/assert.hpp"
#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

constexpr std::size_t ring_bytes = 14 * 4096;  // twelve pages

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  // Zeros behind the end.
  template <class T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof value, rest_.size());
    if (size > 0) std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// What one subscription was handed.
struct Seen {
  std::map<PublisherId, Sequence> last;
  std::optional<Offset> next;
};

class World {
 public:
  World() : bus_(options(), clock_) {
    hostile_ = bus_.publisher("hostile");
    honest_ = bus_.publisher("honest");
    const Level levels[] = {Level::live, Level::recorded, Level::synced};
    for (std::size_t i = 0; i < subscribers_.size(); ++i) {
      auto subscriber = bus_.subscribe(levels[i]);
      MILLRACE_ASSERT(subscriber, "the subscription opens");
      subscribers_[i] = std::move(*subscriber);
    }
  }

  void run(Input input) {
    while (!input.empty()) operate(input);
    finish();
  }

 private:
  MemoryBusOptions options() {
    MemoryBusOptions options;
    options.folder = "t";
    options.streams = 2;
    options.ring_bytes = ring_bytes;
    options.order_capacity = 64;
    options.log.segment_size = 1 << 16;
    options.files = &files_;
    return options;
  }

  void operate(Input& input) {
    switch (input.take<std::uint8_t>() % 12) {
      case 0:
        return publish(*honest_, input.take<std::uint8_t>() % 32);
      case 1:
        return bus_.step();
      case 2:
        return bus_.grant();
      case 3:
        return poll(0);
      case 4:
        return poll(1);
      case 5:
        return poll(2);
      case 6:
        return publish(*hostile_, input.take<std::uint8_t>() % 32);
      case 7:
        return bequeath();
      case 8:
        // A dead core's rings are all that the next one knows of who had them: see bus/README.md.
        return forged_ || restarts_++ > 2 ? void() : bus_.restart_core();
      default:
        return spoil(input);
    }
  }

  // Each event says who made it, and its own sequence.
  void publish(Publisher& publisher, int count) {
    for (int i = 0; i < count; ++i) {
      const auto number = publisher.next_sequence().value();
      const auto id = publisher.id().value();
      if (!publisher.publish<TradeEvent>([&](TradeEvent& trade) {
            trade.mutate_buy_order_id(number);
            trade.mutate_sell_order_id(id);
          })) {
        return;
      }
    }
  }

  // The hostile one dies, and another gets its ring and its place here.
  void bequeath() {
    if (heir_) return;
    bus_.publisher_died("hostile");
    hostile_ = bus_.publisher("heir");
    heir_ = true;
  }

  [[nodiscard]] bool is_honest(PublisherId id) const { return id == honest_->id() || (heir_ && id == hostile_->id()); }

  void spoil(Input& input) {
    if (heir_) return;
    const ring::Ring& ring = bus_.writer_of(*hostile_).ring();
    const auto what = input.take<std::uint8_t>();
    const std::uint32_t slot = input.take<std::uint8_t>() % ring.slot_count();
    ring::PageHeader& page = ring.page_header(slot);
    switch (what % 12) {
      case 0:
        return put(page.publisher.commit, input);
      case 1:
        return put(page.core.end, input);
      case 2:
        return put(page.core.page, input);
      case 3:
        forged_ = true;
        return put(page.core.publisher, input);
      case 4:
        return put(page.core.epoch, input);
      case 5:
        return put(ring.entry(PageNumber(slot)), input);
      case 6:
        return put(ring.header().core.granted, input);
      case 7:
        return put(ring.header().publisher.current_page, input);
      case 8:
        return put(ring.header().publisher.wanted, input);
      case 9: {
        // A frame header at the end of what is committed, or anywhere.
        const std::uint32_t at = input.take<std::uint16_t>() % (ring.page_capacity() - frame_header_size) & ~7u;
        FrameHeader header{};
        header.length = input.take<std::uint16_t>();
        header.event_type = input.take<std::uint8_t>();
        header.sequence = input.take<std::uint8_t>();
        std::memcpy(ring.frames(slot) + at, &header, sizeof header);
        return;
      }
      default: {
        const std::uint32_t at = input.take<std::uint16_t>() % (ring.page_capacity() - 8);
        const auto bytes = input.take<std::uint64_t>();
        std::memcpy(ring.frames(slot) + at, &bytes, sizeof bytes);
        return;
      }
    }
  }

  // Any value, or a word that says something of a page near by.
  void put(ring::Word& word, Input& input) {
    const auto kind = input.take<std::uint8_t>();
    if (kind % 4 == 0) return word.store(input.take<std::uint64_t>());
    if (kind % 4 == 1) return word.store(input.take<std::uint8_t>());
    const PageNumber page(input.take<std::uint8_t>());
    word.store(ring::PageWord::make(page, input.take<std::uint16_t>(), kind % 4 == 2).bits);
  }

  void poll(std::size_t index) {
    Seen& seen = seen_[index];
    subscribers_[index]->poll<TradeEvent>([&](const TradeEvent& trade, const Event& event) {
      if (event.offset) {
        // One that fails its verifier is left out: only the hostile publisher's may.
        MILLRACE_ASSERT(!seen.next || *event.offset >= *seen.next, "offsets go up");
        seen.next = event.offset->next();
      } else {
        MILLRACE_ASSERT(lies_in_a_ring(event.payload()), "a live event lies in its ring");
      }
      check(event, trade, seen);
    });
    if (const Follower* follower = subscribers_[index]->follower()) {
      MILLRACE_ASSERT(!follower->error(), "a follower goes on");
    }
  }

  void check(const Event& event, const TradeEvent& trade, Seen& seen) {
    if (!is_honest(event.publisher)) return;
    Sequence& last = seen.last[event.publisher];
    MILLRACE_ASSERT(trade.buy_order_id() == event.sequence().value(), "an honest event is as it was made");
    MILLRACE_ASSERT(trade.sell_order_id() == event.publisher.value(), "and by whom");
    MILLRACE_ASSERT(event.sequence() > last, "each once, and in order");
    MILLRACE_ASSERT(!event.offset || last == Sequence() || event.sequence() == last.next(), "and none left out");
    last = event.sequence();
  }

  [[nodiscard]] bool lies_in_a_ring(std::span<const std::byte> bytes) {
    for (Publisher* publisher : {hostile_.get(), honest_.get()}) {
      const auto* begin = reinterpret_cast<const std::byte*>(&bus_.writer_of(*publisher).ring().header());
      if (bytes.data() >= begin && bytes.data() + bytes.size() <= begin + ring_bytes) return true;
    }
    return restarts_ > 0;  // or in one of a dead core
  }

  void finish() {
    bequeath();
    for (int i = 0; i < 3; ++i) {
      publish(*honest_, 1);
      publish(*hostile_, 1);
      bus_.settle();
      for (std::size_t index = 0; index < subscribers_.size(); ++index) poll(index);
    }
    for (int i = 0; i < 50; ++i) {
      bus_.settle();
      for (std::size_t index = 0; index < subscribers_.size(); ++index) poll(index);
    }
    MILLRACE_ASSERT(bus_.recorder().state() == TopicRecorder::State::ok, "the recorder goes on");
    for (Publisher* publisher : {honest_.get(), hostile_.get()}) {
      const std::uint64_t made = publisher->next_sequence().value() - 1;
      MILLRACE_ASSERT(made > 0 && logged(publisher->id()) == made, "the log has all that was made");
      for (const Seen& seen : seen_) {
        const auto last = seen.last.find(publisher->id());
        MILLRACE_ASSERT(last != seen.last.end() && last->second.value() == made, "and everybody saw it to the end");
      }
    }
  }

  std::uint64_t logged(PublisherId publisher) {
    auto reader = wal::Reader::open(files_, "t");
    MILLRACE_ASSERT(reader, "the log can be read");
    Sequence last;
    for (;;) {
      const auto batch = reader->next();
      MILLRACE_ASSERT(batch, "to its end");
      if (!*batch) return last.value();
      if ((*batch)->publisher != publisher) continue;
      wal::EventCursor events(**batch);
      while (const auto event = events.next()) {
        MILLRACE_ASSERT(event->frame.sequence() == last.next(), "sequences in the log are gapless");
        MILLRACE_ASSERT(bus_.type().verify(event->frame.payload()), "an honest event is sound in the log");
        const auto& trade = *flatbuffers::GetRoot<TradeEvent>(event->frame.payload().data());
        MILLRACE_ASSERT(trade.sell_order_id() == publisher.value(), "and its own");
        last = event->frame.sequence();
      }
    }
  }

  wal::FaultFileSystem files_;
  ManualClock clock_;
  MemoryBus bus_;
  std::unique_ptr<Publisher> hostile_;  // after its death its heir
  std::unique_ptr<Publisher> honest_;
  std::array<std::unique_ptr<Subscriber>, 3> subscribers_;
  std::array<Seen, 3> seen_;
  bool heir_ = false;
  bool forged_ = false;
  int restarts_ = 0;
};

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  millrace::World().run(millrace::Input({data, size}));
  return 0;
}
