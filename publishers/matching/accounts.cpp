#include "publishers/matching/accounts.hpp"

namespace millrace::matching {

std::optional<AccountId> Accounts::number(std::string_view text) {
  if (const auto known = find(text)) return known;
  if (texts_.size() == kAccountsMax) return std::nullopt;
  texts_.emplace_back(text);
  const AccountId account(texts_.size());
  numbers_.emplace(texts_.back(), account);
  return account;
}

std::optional<AccountId> Accounts::find(std::string_view text) const {
  if (text.empty()) return AccountId(0);
  const auto found = numbers_.find(text);
  if (found == numbers_.end()) return std::nullopt;
  return found->second;
}

std::string_view Accounts::text(AccountId account) const {
  if (account == AccountId(0)) return "";
  return texts_[account.value() - 1];
}

}  // namespace millrace::matching
