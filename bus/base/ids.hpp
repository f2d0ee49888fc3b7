// The numbers that name things, each its own type, so that an offset is never taken for a sequence.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// A counted number: ordered, can be advanced by a count and subtracted from its like, and nothing else.
template <class Tag>
class Ordinal {
 public:
  constexpr Ordinal() = default;
  constexpr explicit Ordinal(std::uint64_t value) : value_(value) {}

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  [[nodiscard]] constexpr Ordinal next() const { return Ordinal(value_ + 1); }
  [[nodiscard]] constexpr Ordinal operator+(std::uint64_t count) const { return Ordinal(value_ + count); }
  [[nodiscard]] constexpr std::uint64_t operator-(Ordinal other) const { return value_ - other.value_; }
  constexpr Ordinal& operator++() { return ++value_, *this; }
  constexpr auto operator<=>(const Ordinal&) const = default;

 private:
  std::uint64_t value_ = 0;
};

// Gapless for each (topic, publisher), across restarts. The first event has sequence 1; 0 means none yet.
using Sequence = Ordinal<struct SequenceTag>;
// Gapless per topic, given by the recorder in log order. The first event has offset 0.
using Offset = Ordinal<struct OffsetTag>;
// Number of a page in a stream's ring, from 1 upward, never reused; 0 means none.
using PageNumber = Ordinal<struct PageNumberTag>;
// Up by one for each incarnation that gets a publisher's name; the first is 1.
using Epoch = Ordinal<struct EpochTag>;
// Up by one each time the recorder starts on a log; the first is 1.
using Run = Ordinal<struct RunTag>;
// A publisher's number within its topic, kept in the log with its name; the first is 1, 0 means none.
using PublisherId = Ordinal<struct PublisherIdTag>;

// A 64-bit hash of an instrument or account: a pre-filter, always confirmed on the payload. 0 means no key.
using Key = Ordinal<struct KeyTag>;
[[nodiscard]] Key key_of(std::string_view name);  // XXH3 of the bytes; never 0

// Random 128 bits.
template <class Tag>
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;
  [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }
};

// Made by a publishing process at its start.
using Incarnation = Uuid<struct IncarnationTag>;
// Made with a log.
using LogId = Uuid<struct LogIdTag>;

[[nodiscard]] std::array<std::uint8_t, 16> random_uuid_bytes();
// 32 lower-case hexadecimal digits, and back; nullopt if the text is anything else.
[[nodiscard]] std::string to_hex(const std::array<std::uint8_t, 16>& bytes);
[[nodiscard]] std::optional<std::array<std::uint8_t, 16>> uuid_bytes_from_hex(std::string_view text);

// Where a reader stands in a topic's log: `offset` is the next one wanted. `run` tells a later run that gave
// offsets out again after a power cut from the one that the reader saw.
struct Position {
  LogId log_id;
  Run run;
  Offset offset;

  auto operator<=>(const Position&) const = default;
};

}  // namespace millrace
