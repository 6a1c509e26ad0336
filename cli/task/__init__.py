"""Operations under way: what `onetask`, and `onevm` where it shows or awaits one, read of them."""
