// A log of trades made by hand, for tests of what reads it: one publisher, whose trade at offset N has buy order N + 1.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "schemas/event_template.hpp"
#include "subscribers/historical/replay.hpp"
#include "wal/testing/events.hpp"
#include "wal/writer.hpp"

namespace millrace::historical::testing {

// Seconds after a day's opening.
inline constexpr WallTime opening{1'772'357'400'000'000'000};
[[nodiscard]] constexpr WallTime at(double seconds) {
  return {opening.ns + static_cast<std::int64_t>(seconds * 1e9)};
}

// One frame. `valid`: else its payload is nothing a reader may follow.
inline std::vector<std::byte> trade(std::uint64_t sequence, std::string_view instrument,
                                    std::string_view buyer = "alice", bool valid = true) {
  static const schemas::EventTemplate<schemas::TradeEvent> fresh;
  std::vector<std::byte> bytes(frame_size(fresh.size()));
  FrameHeader header{};
  header.length = static_cast<std::uint32_t>(frame_header_size + fresh.size());
  header.event_type = static_cast<std::uint16_t>(schemas::Family<schemas::TradeEvent>::id);
  header.sequence = sequence;
  header.key = key_of(instrument).value();
  std::memcpy(bytes.data(), &header, sizeof header);
  const std::span payload = std::span(bytes).subspan(frame_header_size);
  schemas::TradeEvent* const table = fresh.instantiate(payload);
  table->mutate_buy_order_id(sequence);
  (void)schemas::set_text(table->mutable_instrument(), instrument);
  (void)schemas::set_text(table->mutable_buyer_account(), buyer);
  if (!valid) std::memset(payload.data(), 0xee, payload.size());
  return bytes;
}

class TradeLog {
 public:
  explicit TradeLog(wal::FileSystem& files, std::string folder = "/trades",
                    const wal::WriterOptions& options = wal::testing::small_segments())
      : files_(&files), folder_(std::move(folder)), writer_(wal::testing::begin(files, options, folder_).value()) {}

  // One batch, recorded at `time`: a trade of each instrument.
  void add(WallTime time, const std::vector<std::string>& instruments, bool valid = true) {
    std::vector<std::byte> frames;
    const Sequence first = writer_.publishers().at(0).last_sequence.next();
    for (std::size_t i = 0; i < instruments.size(); ++i) {
      const auto frame = trade(first.value() + i, instruments[i], "alice", valid);
      frames.insert(frames.end(), frame.begin(), frame.end());
    }
    const auto done = writer_.append(wal::testing::publisher, Epoch(1), first,
                                     static_cast<std::uint32_t>(instruments.size()), frames, time);
    MILLRACE_ASSERT(done.has_value(), "the test's log could not be written");
  }
  // `count` batches of one trade, `apart` seconds from each other, the first at `from` seconds.
  void add_every(double from, double apart, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add(at(from + static_cast<double>(i) * apart), {"MILL"});
  }
  [[nodiscard]] wal::Writer& writer() { return writer_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] TopicLog log() const {
    TopicLog log = log_folder(folder_);
    log.files = files_;
    return log;
  }

 private:
  wal::FileSystem* files_;
  std::string folder_;
  wal::Writer writer_;
};

// What a replay handed over.
struct Handed {
  std::size_t topic;
  std::uint64_t offset;
  auto operator<=>(const Handed&) const = default;
};
// All that is due now.
inline std::vector<Handed> take(Replay& replay, std::size_t limit = 100'000) {
  std::vector<Handed> handed;
  const auto keep = [&](const Event& event, std::size_t topic) { handed.push_back({topic, event.offset->value()}); };
  while (handed.size() < limit && replay.poll(keep, limit - handed.size()) > 0) {
  }
  return handed;
}
// Offsets of one topic.
inline std::vector<std::uint64_t> offsets(const std::vector<Handed>& handed, std::size_t topic = 0) {
  std::vector<std::uint64_t> found;
  for (const Handed& one : handed) {
    if (one.topic == topic) found.push_back(one.offset);
  }
  return found;
}
// from, from + 1, ... to - 1
inline std::vector<std::uint64_t> run(std::uint64_t from, std::uint64_t to) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = from; i < to; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace millrace::historical::testing
