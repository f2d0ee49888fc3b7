// The bytes in which a process keeps its state: numbers little-endian, texts with their length before them. A reader
// believes nothing: what does not fit gives zeros and is remembered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace {

class StateWriter {
 public:
  template <class Number>
  requires std::is_integral_v<Number> || std::is_enum_v<Number>
  void put(Number number) { put_bytes(std::as_bytes(std::span(&number, 1))); }
  // At most 255 bytes.
  void put(std::string_view text) {
    put(static_cast<std::uint8_t>(text.size()));
    put_bytes(std::as_bytes(std::span(text)));
  }
  void put_bytes(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

  void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class StateReader {
 public:
  explicit StateReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class Number>
  requires std::is_integral_v<Number> || std::is_enum_v<Number>
  [[nodiscard]] Number get() {
    Number number{};
    const auto bytes = get_bytes(sizeof number);
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), sizeof number);
    return number;
  }
  // One of an enum's values from 0 to `last`.
  template <class Enum>
  [[nodiscard]] Enum get_up_to(Enum last) {
    const auto value = get<Enum>();
    if (value > last) sound_ = false;
    return value > last ? Enum{} : value;
  }
  [[nodiscard]] std::string_view get_text() {
    const auto bytes = get_bytes(get<std::uint8_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // Empty if so many are not there.
  [[nodiscard]] std::span<const std::byte> get_bytes(std::size_t count) {
    if (count > rest_.size()) {
      sound_ = false;
      rest_ = {};
      return {};
    }
    const auto bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  void refuse() { sound_ = false; }

  [[nodiscard]] bool sound() const { return sound_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }

 private:
  std::span<const std::byte> rest_;
  bool sound_ = true;
};

}  // namespace millrace
