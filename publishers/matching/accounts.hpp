// Account texts as the numbers that the engine works with.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "publishers/matching/order.hpp"

namespace millrace::matching {

// Numbers count from 1 in the order of first appearance, so that the same commands give the same numbers. The empty
// text is number 0, the account not known. One thread.
class Accounts {
 public:
  // Texts stay for good, so somebody who invents them must not be able to fill the memory.
  static constexpr std::size_t kAccountsMax = 1U << 20;

  // nullopt if the text is new and there are kAccountsMax.
  [[nodiscard]] std::optional<AccountId> number(std::string_view text);
  // nullopt if the text never appeared.
  [[nodiscard]] std::optional<AccountId> find(std::string_view text) const;
  // `account` was given out. Valid as long as the table.
  [[nodiscard]] std::string_view text(AccountId account) const;
  // Numbers given out: 1 to this.
  [[nodiscard]] std::uint64_t size() const { return texts_.size(); }

 private:
  std::deque<std::string> texts_;  // by number less 1; a deque, for the map's keys point into it
  std::unordered_map<std::string_view, AccountId> numbers_;
};

}  // namespace millrace::matching
